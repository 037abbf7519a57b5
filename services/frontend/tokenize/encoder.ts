import { StatorError } from "#lib/base/errors";
import type { FrameOptions } from "#lib/text/tokenizer";

/** Encodes the texts of one model, special tokens and all. */
export interface PromptEncoder {
  /**
   * Tokens of a text, which may come in pieces, framed: at once where little of it is new, else from elsewhere. Nobody may
   * write to them: they may be the beginning of other prompts. Throws, or rejects with, OVERLOADED when too much waits
   * already. Of UTF-8 that is broken, and of lone surrogates, it makes U+FFFD. Bytes are kept: nobody may write to them.
   */
  encode(text: string | readonly string[] | Uint8Array, options: FrameOptions): Uint32Array | Promise<Uint32Array>;
  /** What is under way is answered first. */
  close(): Promise<void> | void;
}

/** How many calls may be under way at once, over all models of a process. */
export class Gate {
  readonly #limit: number;
  #open = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Calls under way. */
  get open(): number {
    return this.#open;
  }

  /** Whether one more is too many. */
  get isFull(): boolean {
    return this.#open >= this.#limit;
  }

  /** Throws OVERLOADED where one more is too many. */
  check(): void {
    if (this.isFull) throw new StatorError("OVERLOADED", { what: "tokenizing" });
  }

  /** Counts a call that is under way until it is answered. */
  async count<Answer>(call: Promise<Answer>): Promise<Answer> {
    this.#open++;
    try {
      return await call;
    } finally {
      this.#open--;
    }
  }

  /** Runs a call. Rejects with OVERLOADED where it is one too many. */
  async run<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    this.check();
    return await this.count(call());
  }
}
