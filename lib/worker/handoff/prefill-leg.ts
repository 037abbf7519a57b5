import { asStatorError, StatorError } from "#lib/base/errors";
import type { EngineFinish, GenerateRequest } from "#lib/engines/engine";
import type { TransferAgent, TransferPrompt } from "#lib/transfer/agent";
import { joinTokens, type Leg, type LegEnd } from "./leg.ts";

/** Tokens that a prefill draws: the first of the answer, or the next. */
const DRAWN = 1;

/** What keeps the blocks of prefills. */
export type Keeper = Pick<TransferAgent, "announce" | "keep" | "fail">;

/** The leg of an answer that computes its prompt and draws its next token, for a leg elsewhere to go on from. */
export class PrefillLeg implements Leg {
  readonly part = "prefill";
  readonly #keeper: Keeper;
  readonly #request: GenerateRequest;
  readonly #room: bigint | undefined;
  readonly #contextTokens: number;
  readonly #prompt: TransferPrompt;
  readonly #drawn: number[] = [];
  /** Others wait for it in its room, and must be told of its end. */
  #isAnnounced = false;

  /** @param request as it was asked, with the length of the whole answer */
  constructor(
    keeper: Keeper,
    request: GenerateRequest,
    about: { readonly room: bigint | undefined; readonly contextTokens: number },
  ) {
    this.#keeper = keeper;
    this.#request = request;
    this.#room = about.room;
    this.#contextTokens = about.contextTokens;
    const { promptTokens, generatedTokens, cacheSalt, adapter } = request;
    this.#prompt = { tokens: joinTokens(promptTokens, generatedTokens), cacheSalt, adapter };
  }

  readonly make = (id: number): GenerateRequest => {
    const { stopping, generatedTokens } = this.#request;
    const maxTokens = Math.min(stopping.maxTokens, generatedTokens.length + DRAWN);
    if (this.#room !== undefined) {
      this.#keeper.announce(this.#room, this.#prompt);
      this.#isAnnounced = true;
    }
    return { ...this.#request, id, stopping: { ...stopping, maxTokens } };
  };

  onRefused(error: Error): void {
    this.#fail(asStatorError(error));
  }

  onTokens(tokens: Uint32Array): void {
    this.#drawn.push(...tokens);
  }

  onFinish(finish: EngineFinish): LegEnd {
    if (!this.#goesOn(finish)) {
      this.#fail(finish.error ?? new StatorError("CANCELLED"));
      return {};
    }
    const firstTokens = Uint32Array.from(this.#drawn);
    return { session: this.#keeper.keep({ ...this.#prompt, firstTokens, room: this.#room }) };
  }

  /** It ended because it is a prefill, and not because its answer does. */
  #goesOn({ reason }: EngineFinish): boolean {
    if (reason !== "length" || this.#drawn.length === 0) return false;
    const { generatedTokens, stopping } = this.#request;
    const answerTokens = generatedTokens.length + this.#drawn.length;
    return answerTokens < stopping.maxTokens && this.#prompt.tokens.length + this.#drawn.length < this.#contextTokens;
  }

  #fail(error: StatorError): void {
    if (this.#isAnnounced && this.#room !== undefined) this.#keeper.fail(this.#room, error);
    this.#isAnnounced = false;
  }
}
