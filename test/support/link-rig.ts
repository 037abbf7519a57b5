import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AcceptedSchema,
  HelloSchema,
  type LinkRequest,
  type LinkResponse,
  NoticeSchema,
  RequestKind,
  StepSchema,
  type Submit,
  SubmitSchema,
  WelcomeSchema,
} from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { stepCaller } from "#lib/link/caller-machine";
import {
  type CallerEffect,
  type CallerEvent,
  type CallerRequest,
  type CallerState,
  createCallerState,
} from "#lib/link/caller-state";
import { LINK_LIMITS, type LinkLimits } from "#lib/link/limits";
import type { RequestListener } from "#lib/link/link";
import { stepWorker } from "#lib/link/worker-machine";
import {
  createWorkerState,
  type Introduction,
  type WorkerEffect,
  type WorkerEvent,
  type WorkerState,
} from "#lib/link/worker-state";

const UNHEARD: RequestListener = {
  onAccepted() {},
  onTokens() {},
  onText() {},
  onEmbedding() {},
  onFinish() {},
  onLost() {},
};

/** A generate request for these prompt tokens. */
export function submitOf(promptTokens: readonly number[], more: MessageInitShape<typeof SubmitSchema> = {}): Submit {
  const about = { requestId: "r", kind: RequestKind.GENERATE, model: "m", promptTokenIds: writeU32(promptTokens) };
  return create(SubmitSchema, { ...about, ...more });
}

/** The machine of a caller's link, without a shell: events in, effects out, time by hand. */
export class CallerRig {
  readonly state: CallerState;
  nowMs = 0;

  constructor(limits: Partial<LinkLimits> = {}, expect: CallerState["expect"] = {}) {
    const about = { caller: "test/1", features: [], nowMs: this.nowMs };
    this.state = createCallerState({ limits: { ...LINK_LIMITS, ...limits }, expect, ...about });
  }

  /** What an event makes of the link now. */
  step(event: CallerEvent): CallerEffect[] {
    return stepCaller(this.state, event, this.nowMs);
  }

  /** Effects in short: their kind, and who they are about. */
  kinds(event: CallerEvent): string[] {
    return this.step(event).map((effect) => {
      if (effect.kind === "state") return `${effect.state}${effect.reason ? ` ${effect.reason.reason}` : ""}`;
      return "request" in effect ? `${effect.kind} ${effect.request.handle}` : effect.kind;
    });
  }

  /** The worker welcomes the caller, and the first turn ends. */
  welcome(more: MessageInitShape<typeof WelcomeSchema> = {}): CallerEffect[] {
    const welcome = create(WelcomeSchema, { revision: 1, instanceId: 1n, incarnation: 7n, ...more });
    this.step({ kind: "turn" });
    return this.step({ kind: "welcome", welcome });
  }

  /** Opens a request; throws what it was refused with. */
  submit(submit: Submit = submitOf([1])): CallerRequest {
    const request: CallerRequest = { handle: 0, phase: "unknown", outputs: 0, progressMs: 0, listener: UNHEARD };
    for (const effect of this.step({ kind: "submit", submit, request }))
      if (effect.kind === "refuse") throw effect.error;
    return request;
  }

  /** A request that the worker took. */
  accepted(): CallerRequest {
    const request = this.submit();
    this.accept(request.handle);
    return request;
  }

  /** The worker took requests. */
  accept(...handles: number[]): CallerEffect[] {
    const [cachedTokens, queuedAhead] = [handles, handles].map((each) => writeU32(each.map(() => 0)));
    const accepted = create(AcceptedSchema, { handles: writeU32(handles), cachedTokens, queuedAhead });
    return this.step({ kind: "accepted", accepted });
  }

  /** A step comes. */
  deliver(step: MessageInitShape<typeof StepSchema>): CallerEffect[] {
    return this.step({ kind: "step", step: create(StepSchema, step) });
  }

  /** The worker says whether it drains. */
  notice(draining: boolean): string[] {
    return this.kinds({ kind: "notice", notice: create(NoticeSchema, { draining }) });
  }

  /** Time passes, and the shell looks at the link. */
  tick(byMs: number): string[] {
    this.nowMs += byMs;
    return this.kinds({ kind: "tick" });
  }

  /** What leaves at the end of the turn. */
  turn(): LinkRequest[] {
    return sentOf<LinkRequest>(this.step({ kind: "turn" }));
  }
}

/** The machine of a worker's link, the same way. */
export class WorkerRig {
  readonly state: WorkerState;
  introduction: Introduction = {
    ...{ instanceId: 1n, incarnation: 7n, models: ["m"], maxRunningRequests: 4, maxWaitingRequests: 4 },
    ...{ totalKvBlocks: 64n, ranks: 1, features: [], draining: false },
  };
  nowMs = 0;

  constructor(limits: Partial<LinkLimits> = {}) {
    this.state = createWorkerState({ ...LINK_LIMITS, ...limits }, this.nowMs);
  }

  /** What an event makes of the link now. */
  step(event: WorkerEvent): WorkerEffect[] {
    return stepWorker(this.state, event, { nowMs: this.nowMs, introduce: () => this.introduction });
  }

  /** The reason and the words with which an event ends the link; undefined when it does not. */
  ends(event: WorkerEvent): string | undefined {
    const end = this.step(event).find((effect) => effect.kind === "end");
    if (end === undefined) return undefined;
    return end.error instanceof StatorError ? `${end.error.reason}: ${end.error.message}` : "in order";
  }

  /** The caller says Hello; the Welcome leaves. */
  open(): this {
    this.hello();
    this.turn();
    return this;
  }

  /** The caller says Hello. */
  hello(more: MessageInitShape<typeof HelloSchema> = {}): WorkerEffect[] {
    const hello = create(HelloSchema, { minimumRevision: 1, maximumRevision: 1, caller: "test/1", ...more });
    return this.step({ kind: "hello", hello });
  }

  /** A request comes. */
  submit(handle: number, more: MessageInitShape<typeof SubmitSchema> = {}): WorkerEffect[] {
    return this.step({ kind: "submit", submit: submitOf([1], { handle, ...more }) });
  }

  /** A request comes, the engine takes it, and the caller is told. */
  run(handle: number): void {
    this.submit(handle);
    this.step({ kind: "took", handle, cachedTokens: 0, queuedAhead: 0 });
    this.turn();
  }

  /** What leaves at the end of the turn. */
  turn(bufferedBytes = 0): LinkResponse[] {
    return sentOf<LinkResponse>(this.step({ kind: "turn", bufferedBytes }));
  }

  /** Terminal frames that wait: the handle, and the reason of the error or of the finish. */
  refusals(): string[] {
    return this.state.outbox.finishes.map(({ handle, error, reason }) => `${handle} ${error?.reason ?? reason}`);
  }
}

function sentOf<Message>(effects: readonly { readonly kind: string }[]): Message[] {
  return effects.flatMap((effect) =>
    effect.kind === "send" && "message" in effect ? [effect.message as Message] : [],
  );
}
