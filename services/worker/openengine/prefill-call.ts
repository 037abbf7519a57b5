import { create } from "@bufbuild/protobuf";
import { GenerateResponseSchema } from "#gen/openengine/v1/generation_pb";
import { assert, StatorError } from "#lib/base/errors";
import type { EngineFinish } from "#lib/engines/engine";
import { printSessionRef } from "#lib/transfer/session-ref";
import type { BoardSink } from "#lib/worker/board-sink";
import type { Leg } from "#lib/worker/handoff/leg";
import { engineError } from "./ending.ts";
import type { GenerationChannel } from "./generation.ts";

/** What a prefill runs with. */
export interface PrefillCallDeps {
  /** What keeps its blocks. */
  readonly leg: Leg;
  /** Its caller; the prefill ends it, once. */
  readonly channel: GenerationChannel;
  /** Ends requests of the board. */
  cancel(ids: readonly number[], mode: "stop" | "kill"): void;
}

/** A call to a worker of the role prefill: it ends with the session of its prompt, for another engine to go on from. */
export class PrefillCall implements BoardSink {
  /** Called once, when nothing more is sent. */
  onDone: () => void = () => {};
  /** Of the board, once it was submitted. */
  id = 0;
  readonly #requestId: string;
  readonly #deps: PrefillCallDeps;

  constructor(requestId: string, deps: PrefillCallDeps) {
    this.#requestId = requestId;
    this.#deps = deps;
  }

  /** Asks for its end. */
  cancel(mode: "stop" | "kill"): void {
    this.#deps.cancel([this.id], mode);
  }

  /** The caller went away. */
  gone(): void {
    this.cancel("kill");
  }

  /** What it says is one message: nobody is late in reading it. */
  drained(): void {}

  onTokens(): void {}

  onLogprobs(): void {}

  onEmbedding(): void {}

  onFinish(_: number, finish: EngineFinish): void {
    const { leg, channel } = this.#deps;
    const { session } = leg.onFinish(finish);
    const error = finish.error ?? (session ? undefined : new StatorError("CANCELLED"));
    const { promptTokens, cachedTokens: cachedPromptTokens } = finish;
    const usage = { promptTokens, completionTokens: 0, totalTokens: promptTokens, cachedPromptTokens };
    assert(session !== undefined || error !== undefined, "a prefill ends with a session or an error");
    const event = error
      ? { case: "error" as const, value: engineError(error) }
      : { case: "prefillReady" as const, value: { kvSession: printSessionRef(session!) } };
    channel.send(create(GenerateResponseSchema, { requestId: this.#requestId, event, usage }));
    channel.end();
    this.onDone();
  }

  /** As when `submit` throws: nothing ran. */
  onRefused(_: number, error: StatorError): void {
    this.#deps.channel.end(error);
    this.onDone();
  }

  endStep(): void {}
}
