import { CancelMode, type Submit } from "#gen/stator/worker/v1/link_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Engine, EngineFinish, EnginePromptLogprobs, StepMetrics } from "#lib/engines/engine";
import type { Log } from "#lib/host/log";
import { checkFeatures } from "#lib/link/features";
import type { WorkerChannel, WorkerLink, WorkerSink } from "#lib/link/link";
import { openWorkerLink } from "#lib/link/worker-link";
import type { Introduction } from "#lib/link/worker-state";
import type { TransferLoad } from "#lib/transfer/agent";
import type { Board } from "./board.ts";
import type { BoardSink } from "./board-sink.ts";
import type { HandOff } from "./handoff/hand-off.ts";
import type { Leg } from "./handoff/leg.ts";
import { loadAfter } from "./outside-steps.ts";
import { StepBuilder } from "./step-builder.ts";
import { readLeg, readSubmit } from "./submit.ts";
import { featuresOf, type ModelNames } from "./translate.ts";

/** How often a link that has nothing of its own in the steps still hears how the engine is doing. */
const LOAD_EVERY_MS = 250;

const NOTHING_KEPT: TransferLoad = { openSessions: 0, pinnedBlocks: 0, isFull: false };
/** What a caller is told of a request of which the engine has not said anything yet. */
const UNKNOWN_ADMISSION = { cachedTokens: 0, queuedAhead: 0 } as const;

/** What the links of a worker run on. */
export interface LinkEndDeps {
  /** Throws MODEL_LOADING, DRAINING or ENGINE_FAILED when nothing new can start. */
  serving(): { engine: Engine; board: Board; names: ModelNames; handOff?: HandOff | undefined };
  /** What a caller that said Hello is told. */
  introduce(): Introduction;
  /** What is kept for other workers; nothing unless given. */
  readonly kept?: () => TransferLoad | undefined;
  /** Ends requests by engine id; also while draining. */
  cancel(ids: readonly number[], mode: "stop" | "kill"): void;
  /** Of deadlines, and of how often the load is told. */
  readonly clock: Clock;
  /** Told of links that open and end. */
  readonly log: Log;
}

/** The worker's side of one link. */
export interface LinkEnd {
  /** Open until one side ends it. */
  readonly link: WorkerLink;
  /** Passes the load on: at once when none was told for a while, else a little later the last one. */
  load(metrics: StepMetrics): void;
  /** Something that was kept for others was let go: a caller that was told that there is no room hears that there is some. */
  freed(): void;
}

/** Joins a channel to the board; it lives until its link ends, which `onGone` tells. */
export function openLinkEnd(deps: LinkEndDeps, channel: WorkerChannel, onGone: () => void): LinkEnd {
  return new OpenLinkEnd(deps, channel, onGone);
}

/** One request of a link. */
interface OpenHandle {
  readonly id: number;
  /** Runs until its deadline; undefined when it has none. */
  readonly timer: Timer | undefined;
}

class OpenLinkEnd implements LinkEnd, BoardSink, WorkerSink {
  readonly link: WorkerLink;
  readonly #deps: LinkEndDeps;
  readonly #onGone: () => void;
  readonly #builder = new StepBuilder();
  readonly #handles = new Map<number, OpenHandle>();
  /** Of those that are parts of answers. */
  readonly #legs = new Map<number, Leg>();
  /** Handles whose deadline has passed, with what it was. */
  readonly #expired = new Map<number, number>();
  #told: StepMetrics | undefined;
  #toldMs = Number.NEGATIVE_INFINITY;
  #untold: StepMetrics | undefined;
  #loadTimer: Timer | undefined;
  #toldKept = NOTHING_KEPT;
  #keptTimer: Timer | undefined;
  #isOver = false;

  constructor(deps: LinkEndDeps, channel: WorkerChannel, onGone: () => void) {
    this.#deps = deps;
    this.#onGone = onGone;
    this.link = openWorkerLink(channel, { introduce: () => deps.introduce(), sink: this, clock: deps.clock });
  }

  load(metrics: StepMetrics): void {
    if (metrics === this.#told) return;
    const { clock } = this.#deps;
    const waitMs = this.#toldMs + LOAD_EVERY_MS - clock.nowMs();
    this.#untold = metrics;
    if (waitMs <= 0) this.#tellLoad();
    else this.#loadTimer ??= clock.after(waitMs, () => this.#tellLoad());
  }

  freed(): void {
    // Whoever was told that there is no room sends nothing, and would hear of none by a step.
    if (this.#toldKept.isFull && !this.#kept().isFull) this.endStep(loadAfter(this.#told));
  }

  onSubmit(submit: Submit): { cachedTokens: number; queuedAhead: number } {
    const { engine, board, names, handOff } = this.#deps.serving();
    checkFeatures(submit, featuresOf(handOff));
    const make = readSubmit(submit, engine, names);
    const leg = readLeg(submit, make, handOff);
    const { handle, deadlineMs } = submit;
    const { id, admission } = this.#ask(board, submit, leg ?? { make });
    const timer =
      deadlineMs === undefined ? undefined : this.#deps.clock.after(deadlineMs, () => this.#expire(handle, deadlineMs));
    this.#handles.set(handle, { id, timer });
    if (leg) this.#legs.set(handle, leg);
    // Accepting waits for no engine and for no blocks: it may run from now on, and a refusal is its Finish.
    return admission ?? UNKNOWN_ADMISSION;
  }

  #ask(board: Board, { handle, requestId, traceparent }: Submit, leg: Pick<Leg, "make"> & Partial<Leg>) {
    try {
      const { part, make } = leg;
      const traced = { requestId, traceparent: traceparent || undefined };
      return board.submit(this, handle, { ...traced, ...(part && { part }), make });
    } catch (caught) {
      const error = asStatorError(caught);
      leg.onRefused?.(error);
      throw error;
    }
  }

  onCancel(handles: Uint32Array, mode: CancelMode): void {
    const ids: number[] = [];
    for (const handle of handles) {
      const open = this.#handles.get(handle);
      if (open) ids.push(open.id);
    }
    this.#deps.cancel(ids, mode === CancelMode.KILL ? "kill" : "stop");
  }

  onEnd(error: StatorError | undefined): void {
    this.#isOver = true;
    this.#onGone();
    this.#loadTimer?.cancel();
    this.#keptTimer?.cancel();
    const open = [...this.#handles.values()];
    this.#deps.log.debug("link ended", { caller: this.link.caller, open: open.length, error });
    for (const { timer } of open) timer?.cancel();
    this.#deps.cancel(
      open.map(({ id }) => id),
      "kill",
    );
  }

  onTokens(handle: number, tokens: Uint32Array): void {
    if (this.#legs.size > 0) this.#legs.get(handle)?.onTokens(tokens);
    this.#builder.tokens(handle, tokens);
  }

  onLogprobs(handle: number, logprobs: Parameters<BoardSink["onLogprobs"]>[1]): void {
    this.#builder.logprobs(handle, logprobs);
  }

  onPromptLogprobs(handle: number, logprobs: EnginePromptLogprobs): void {
    this.#builder.promptLogprobs(handle, logprobs);
  }

  onText(handle: number, text: string): void {
    this.#builder.text(handle, text);
  }

  onEmbedding(handle: number, values: Float32Array): void {
    this.#builder.embedding(handle, values);
  }

  onFinish(handle: number, finish: EngineFinish): void {
    this.#handles.get(handle)?.timer?.cancel();
    this.#handles.delete(handle);
    const leg = this.#legs.get(handle);
    this.#legs.delete(handle);
    const deadlineMs = this.#expired.get(handle);
    this.#expired.delete(handle);
    const isLate = deadlineMs !== undefined && finish.reason === "cancelled";
    this.#builder.finish(handle, isLate ? lateFinish(finish, deadlineMs) : finish, leg?.onFinish(finish));
  }

  endStep(metrics: StepMetrics): void {
    this.#untold = undefined;
    this.#told = metrics;
    this.#toldMs = this.#deps.clock.nowMs();
    this.#toldKept = this.#kept();
    this.link.step(this.#builder.take(metrics, this.#toldKept));
    this.#watchKept();
  }

  /** What is kept for others goes without a step, and others may wait for its room. */
  #watchKept(): void {
    if (this.#toldKept.openSessions === 0 || this.#keptTimer || this.#isOver) return;
    this.#keptTimer = this.#deps.clock.after(LOAD_EVERY_MS, () => {
      this.#keptTimer = undefined;
      const { openSessions, pinnedBlocks } = this.#kept();
      const isAsTold = openSessions === this.#toldKept.openSessions && pinnedBlocks === this.#toldKept.pinnedBlocks;
      if (isAsTold) this.#watchKept();
      else this.endStep(loadAfter(this.#told));
    });
  }

  #kept(): TransferLoad {
    return this.#deps.kept?.() ?? NOTHING_KEPT;
  }

  #tellLoad(): void {
    this.#loadTimer?.cancel();
    this.#loadTimer = undefined;
    if (this.#untold) this.endStep(this.#untold);
  }

  #expire(handle: number, deadlineMs: number): void {
    const open = this.#handles.get(handle);
    if (!open) return;
    this.#expired.set(handle, deadlineMs);
    this.#deps.cancel([open.id], "kill");
  }
}

function lateFinish(finish: EngineFinish, deadlineMs: number): EngineFinish {
  return { ...finish, reason: "failed", error: new StatorError("DEADLINE", { deadlineMs }) };
}
