import type { Guidance as GuidanceMessage } from "#gen/stator/worker/v1/link_pb";
import { LINK_FEATURES } from "#lib/link/features";
import { printGuidance, printOldGrammar } from "#lib/link/guidance";
import type { Guidance } from "#lib/text/grammar/guidance";

/** Makes a grammar of guidance, at once or elsewhere. Throws or rejects with what `compileGuidance` throws. */
export type Compile = (guidance: Guidance) => string | Promise<string>;

/**
 * Longest text, in bytes, that a worker is asked to compile: some 20 ms of its event loop at worst, in which nobody's
 * tokens leave. The grammar of a longer one is made here, where `compile` has a thread for it.
 */
const MOST_AS_ASKED = 64 * 1024;

/**
 * The form that the choices of one request are held to, for each worker as it takes it: as it was asked where the worker
 * says that it does, and as a grammar, made here and once, where it does not, or where the text is too long for its event loop.
 */
export class AskedForm {
  readonly #guidance: Guidance;
  readonly #compile: Compile;
  readonly #mostAsAsked: number;
  #asAsked: GuidanceMessage | undefined;
  #grammar: string | Promise<void> | undefined;

  /** Borrows the guidance. Nothing is made before it is asked for. */
  constructor(guidance: Guidance, compile: Compile, mostAsAsked = MOST_AS_ASKED) {
    this.#guidance = guidance;
    this.#compile = compile;
    this.#mostAsAsked = mostAsAsked;
  }

  /** What a worker with these features is sent; a promise while the grammar is being made: ask again then. Throws or rejects as `compile` does. */
  for(features: readonly string[]): GuidanceMessage | Promise<void> {
    this.#asAsked ??= printGuidance(this.#guidance);
    if (features.includes(LINK_FEATURES.guidance) && this.#asAsked.text.length <= this.#mostAsAsked) {
      return this.#asAsked;
    }
    const grammar = this.#compiled();
    if (typeof grammar !== "string") return grammar;
    const hasParts = features.includes(LINK_FEATURES.parts);
    return hasParts ? printGuidance({ kind: "ebnfGrammar", grammar }) : printOldGrammar(grammar);
  }

  #compiled(): string | Promise<void> {
    if (this.#grammar !== undefined) return this.#grammar;
    const made = this.#compile(this.#guidance);
    const keep = (grammar: string): void => {
      this.#grammar = grammar;
    };
    this.#grammar = typeof made === "string" ? made : made.then(keep);
    return this.#grammar;
  }
}
