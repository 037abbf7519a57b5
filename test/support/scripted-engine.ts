import { createHash } from "node:crypto";
import type { StatorError } from "#lib/base/errors";
import type { Admission, EngineCard, EngineLogprobs, GenerateRequest } from "#lib/engines/engine";
import { byteCharacters } from "#lib/text/pieces";
import { VOCABULARY_FORMAT } from "#lib/text/vocabulary";
import { FakeEngine } from "./fake-engine.ts";
import { buildGguf } from "./gguf-builder.ts";

/** Pieces beyond the 256 bytes, by which a text can be cut at many places. */
export const LONG_PIECES = ["STOP", "ST", "OP", "xS", "TOP", "Py", "xSTOPy"];

/** Token ids of pieces; a piece that is none of the long ones is cut into its bytes. */
export function tokensOf(pieces: readonly string[]): number[] {
  return pieces.flatMap((piece) => {
    const long = LONG_PIECES.indexOf(piece);
    return long >= 0 ? [256 + long] : [...Buffer.from(piece)];
  });
}

/** Bytes of a token of this vocabulary. */
export function pieceOf(token: number): Buffer {
  return token < 256 ? Buffer.of(token) : Buffer.from(LONG_PIECES[token - 256] ?? "");
}

/** The vocabulary as a file. */
export function scriptedVocabulary(): Uint8Array {
  const tokens = [...byteCharacters(), ...LONG_PIECES, "<end>"];
  return buildGguf(
    {
      "general.architecture": "llama",
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "gpt-2",
      "tokenizer.ggml.tokens": tokens,
      "tokenizer.ggml.token_type": Int32Array.from(tokens, (_, id) => (id === tokens.length - 1 ? 3 : 1)),
      "tokenizer.ggml.merges": ["S T"],
      "tokenizer.ggml.eos_token_id": tokens.length - 1,
      "tokenizer.ggml.add_bos_token": false,
    },
    [],
  );
}

/** What it says to every request, and how fast. */
export interface Script {
  readonly tokens: readonly number[];
  /** Fails behind the tokens, in the step of the last. */
  readonly error?: StatorError;
  readonly tokensPerStep: number;
  /** Steps between which nobody else has a turn. */
  readonly stepsPerTurn: number;
}

interface Running {
  readonly request: GenerateRequest;
  told: number;
}

/** An engine that says what a script says. It runs on for a step when it is told to stop, as one that draws ahead does. */
export class ScriptedEngine extends FakeEngine {
  script: Script = { tokens: [], tokensPerStep: 1, stepsPerTurn: 1 };
  /** Tokens that were said to each request. */
  readonly said: number[] = [];
  readonly #running = new Map<number, Running>();
  readonly #stopped = new Set<number>();

  constructor(card: Partial<EngineCard> = {}) {
    const content = scriptedVocabulary();
    const digest = createHash("sha256").update(content).digest();
    super({ artifacts: [{ kind: "tokenizer", format: VOCABULARY_FORMAT, digest, content }], ...card });
  }

  override submit(request: GenerateRequest): Admission | "later" {
    const admission = super.submit(request);
    this.#running.set(request.id, { request, told: 0 });
    if (this.#running.size === 1) this.#later();
    return admission;
  }

  override cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    super.cancel(ids, mode);
    for (const id of ids) this.#stopped.add(id);
  }

  #later(): void {
    setImmediate(() => {
      for (let step = 0; step < this.script.stepsPerTurn && this.#running.size > 0; step++) this.#play();
      if (this.#running.size > 0) this.#later();
    });
  }

  #play(): void {
    const { script } = this;
    const tokens: Record<number, number[]> = {};
    const logprobs: EngineLogprobs[] = [];
    const finishes = [];
    for (const [id, running] of this.#running) {
      const { request } = running;
      const most = request.stopping.maxTokens;
      const all = script.tokens.slice(0, most);
      const next = all.slice(running.told, running.told + script.tokensPerStep);
      if (next.length > 0) tokens[id] = next;
      running.told += next.length;
      if (request.topLogprobs !== undefined && next.length > 0) {
        const chosen = Float32Array.from(next, (token) => -token);
        logprobs.push({ id, chosen, topTokens: new Uint32Array(0), topValues: new Float32Array(0) });
      }
      const isCut = script.tokens.length > most;
      if (this.#stopped.has(id)) finishes.push({ id, reason: "cancelled" as const });
      else if (running.told < all.length) continue;
      else if (script.error && !isCut) finishes.push({ id, reason: "failed" as const, error: script.error });
      else finishes.push({ id, reason: isCut ? ("length" as const) : ("end" as const) });
      this.said.push(running.told);
      this.#running.delete(id);
    }
    this.step({ tokens, logprobs, finishes });
  }
}
