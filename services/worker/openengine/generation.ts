import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type GenerateRequest,
  type GenerateResponse,
  GenerateResponseSchema,
  type UsageSchema,
} from "#gen/openengine/v1/generation_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { EngineFinish, EngineLogprobs } from "#lib/engines/engine";
import { type DuplexChannel, SEND_BUFFER_BYTES } from "#lib/rpc/stream";
import { sumUsage } from "#lib/serving/answer";
import type { LinkAsk } from "#lib/serving/ask";
import type { ChoiceText } from "#lib/serving/choice";
import { compileStops } from "#lib/text/stop";
import type { BoardSink } from "#lib/worker/board-sink";
import { engineError, finishOf } from "./ending.ts";
import { Output } from "./output.ts";

/** A caller whose send buffer holds so much has stopped reading. */
const STALLED_BYTES = 16 * SEND_BUFFER_BYTES;
/** How long its buffer is kept for it afterwards. */
const STALLED_MS = 30_000;

/** The call as the worker holds it. */
export type GenerationChannel = DuplexChannel<GenerateResponse, GenerateRequest>;

type Event = NonNullable<MessageInitShape<typeof GenerateResponseSchema>["event"]>;

/** What a generation runs with. */
export interface GenerationDeps {
  /** How tokens become text. */
  readonly text: ChoiceText;
  /** Its caller; the generation ends it, once. */
  readonly channel: GenerationChannel;
  /** For the time that a caller has who does not read. */
  readonly clock: Clock;
  /** Ends requests of the board. */
  cancel(ids: readonly number[], mode: "stop" | "kill"): void;
}

/** One call: its outputs, what of it still runs, and the one way in which it ends. */
export class Generation implements BoardSink {
  /** Engine id of each output that runs. */
  readonly open = new Map<number, number>();
  /** Called once, when nothing more is sent. */
  onDone: () => void = () => {};
  readonly #ask: LinkAsk;
  readonly #deps: GenerationDeps;
  readonly #outputs: readonly Output[];
  readonly #logprobs = new Map<number, EngineLogprobs>();
  /** How each output ended that has. */
  readonly #ended = new Map<number, EngineFinish>();
  #done = false;
  #hasSpoken = false;
  #patience: Timer | undefined;

  constructor(ask: LinkAsk, deps: GenerationDeps) {
    this.#ask = ask;
    this.#deps = deps;
    const { stopTexts, includeStop, minTokens } = ask.stopping;
    const stops = stopTexts.length > 0 ? compileStops(stopTexts) : undefined;
    this.#outputs = Array.from(
      { length: ask.choicesPerPrompt },
      () => new Output({ stops, includeStop, minTokens }, deps.text),
    );
  }

  /** Asks for the end of what still runs. */
  cancel(mode: "stop" | "kill"): void {
    this.#deps.cancel([...this.open.values()], mode);
  }

  /** The send buffer has room again. */
  drained(): void {
    if (!this.#patience) return;
    this.#patience.cancel();
    this.#deps.channel.end();
  }

  /** The caller went away. */
  gone(): void {
    this.#patience?.cancel();
    this.cancel("kill");
  }

  /** Was refused in the middle: what runs is killed, and nothing is sent. */
  abandon(): void {
    this.cancel("kill");
    this.#over();
  }

  onTokens(index: number, tokens: Uint32Array): void {
    this.#hear(index, tokens);
  }

  onText(index: number, text: string): void {
    this.#hear(index, text);
  }

  #hear(index: number, said: Uint32Array | string): void {
    const output = this.#outputs[index]!;
    if (this.#done || output.stopText !== undefined) return;
    if (typeof said === "string") output.pushText(said);
    else output.push(said);
    const id = this.open.get(index);
    if (output.stopText !== undefined && id !== undefined) this.#deps.cancel([id], "stop");
  }

  onLogprobs(index: number, logprobs: EngineLogprobs): void {
    this.#logprobs.set(index, logprobs);
  }

  onEmbedding(): void {}

  onFinish(index: number, finish: EngineFinish): void {
    this.open.delete(index);
    if (this.#done) return;
    const output = this.#outputs[index]!;
    // What a stop string ended is whole, whatever became of it behind that.
    if (finish.error && output.stopText === undefined) {
      this.#fail(finish.error);
      return;
    }
    output.end(finish.reason === "stop_token" ? finish.stopToken : undefined);
    this.#flush(index);
    this.#ended.set(index, finish);
    const last = this.open.size === 0;
    const value = { outputIndex: index, ...finishOf(finish, output.stopText) };
    this.#send({ case: "finished", value }, last);
    if (!last) return;
    this.#over();
    this.#deps.channel.end();
  }

  /** As when `submit` throws, as long as nothing was sent. */
  onRefused(index: number, error: StatorError): void {
    this.open.delete(index);
    if (this.#done) return;
    if (this.#hasSpoken) {
      this.#fail(error);
      return;
    }
    this.abandon();
    this.#deps.channel.end(error);
  }

  endStep(): void {
    if (this.#done) return;
    for (const index of this.open.keys()) this.#flush(index);
    if (this.#deps.channel.bufferedBytes > STALLED_BYTES) this.#giveUp();
  }

  /** A token with its log-probabilities is a message of its own. */
  #flush(index: number): void {
    const output = this.#outputs[index]!;
    const logprobs = this.#logprobs.get(index);
    const most = this.#ask.topLogprobs === undefined ? Number.POSITIVE_INFINITY : 1;
    for (let delta = output.take(most, logprobs); delta; delta = output.take(most, logprobs)) {
      this.#send({ case: "token", value: { outputIndex: index, ...delta } });
    }
    this.#logprobs.delete(index);
  }

  /** The caller does not read: its slots are freed now, and what waits for it is dropped when it still does not. */
  #giveUp(): void {
    const { channel, clock } = this.#deps;
    const error = new StatorError("OVERLOADED", { what: "unread output" });
    this.#tellFailure(error);
    this.#patience = clock.after(STALLED_MS, () => channel.end(error));
  }

  #fail(error: StatorError): void {
    this.#tellFailure(error);
    this.#deps.channel.end();
  }

  /** The last message, behind everything that came before it; the channel is still to be ended. */
  #tellFailure(error: StatorError): void {
    for (const [index, output] of this.#outputs.entries()) {
      output.end();
      this.#flush(index);
    }
    this.#send({ case: "error", value: engineError(error) }, true);
    this.#over();
    this.cancel("stop");
  }

  #send(event: Event, last = false): void {
    this.#hasSpoken = true;
    const usage = last ? this.#usage() : undefined;
    this.#deps.channel.send(create(GenerateResponseSchema, { requestId: this.#ask.requestId, event, usage }));
  }

  #usage(): MessageInitShape<typeof UsageSchema> {
    const { input } = this.#ask;
    const choices = this.#outputs.map(({ tokenCount, stopText }, index) => {
      const ended = this.#ended.get(index);
      const cachedTokens = ended?.cachedTokens ?? 0;
      if (input.kind === "tokens") {
        return { promptTokens: input.prompts[0]!.length, cachedTokens, completionTokens: tokenCount };
      }
      // Of text only the engine knows how many tokens it was.
      const completionTokens = stopText === undefined ? (ended?.completionTokens ?? tokenCount) : tokenCount;
      return { promptTokens: ended?.promptTokens ?? 0, cachedTokens, completionTokens };
    });
    const { promptTokens, cachedTokens, completionTokens } = sumUsage(choices, choices.length);
    return {
      promptTokens,
      completionTokens,
      totalTokens: promptTokens + completionTokens,
      cachedPromptTokens: cachedTokens,
    };
  }

  #over(): void {
    if (this.#done) return;
    this.#done = true;
    this.onDone();
  }
}
