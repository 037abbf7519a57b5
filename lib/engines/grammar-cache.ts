import { BoundedCache } from "#lib/base/collections";
import { StatorError } from "#lib/base/errors";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";

/** Bounds of what an engine compiles and keeps, in UTF-16 units. */
export interface GrammarLimits {
  /** Longest text of guidance that is taken: a tenth of a second of the event loop at worst. */
  readonly textUnits: number;
  /** What is kept of grammars and of what they were made from, together. */
  readonly keptUnits: number;
}

const LIMITS: GrammarLimits = { textUnits: 1024 * 1024, keptUnits: 4 * 1024 * 1024 };

/** Beside its text, so that many short ones are bounded too. */
const ENTRY_UNITS = 256;

/**
 * Grammars of an engine that takes GBNF. The choices of a request ask for the same form one by one, and so do the requests
 * of a client: what was made lately is kept.
 */
export class GrammarCache {
  readonly #limits: GrammarLimits;
  readonly #kept: BoundedCache<string, string>;

  constructor(limits: Partial<GrammarLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
    this.#kept = new BoundedCache(this.#limits.keptUnits);
  }

  /** What the kept ones weigh. */
  get units(): number {
    return this.#kept.weight;
  }

  /** GBNF of guidance. Throws what `compileGuidance` does, and INVALID_ARGUMENT for a text that is too long. */
  compile(guidance: Guidance): string {
    if (guidance.kind === "ebnfGrammar") return guidance.grammar;
    const text = textOf(guidance);
    const { textUnits } = this.#limits;
    if (text.length > textUnits) {
      throw new StatorError("INVALID_ARGUMENT", {
        detail: `guidance: its text is longer than ${textUnits} characters`,
      });
    }
    const key = `${guidance.kind} ${text}`;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const grammar = compileGuidance(guidance);
    this.#kept.set(key, grammar, key.length + grammar.length + ENTRY_UNITS);
    return grammar;
  }
}

function textOf(guidance: Exclude<Guidance, { kind: "ebnfGrammar" }>): string {
  switch (guidance.kind) {
    case "jsonObject":
      return "";
    case "jsonSchema": {
      const { schema } = guidance;
      return typeof schema === "string" ? schema : new TextDecoder().decode(schema);
    }
    case "choice":
      return JSON.stringify(guidance.choices);
    case "regex":
      return guidance.pattern;
    case "structuralTag":
      return guidance.tag;
  }
}
