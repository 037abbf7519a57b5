import { CancelMode, RequestKind, type Submit, WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { readU32 } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Engine, StepMetrics } from "#lib/engines/engine";
import type { Log } from "#lib/host/log";
import type { Span, Tracer } from "#lib/host/telemetry";
import type { WorkerChannel, WorkerLink, WorkerSink } from "#lib/link/link";
import { openWorkerLink } from "#lib/link/worker-link";
import type { Introduction } from "#lib/link/worker-state";
import { createService, type ServedService } from "#lib/rpc/service";
import type { Board, BoardSink } from "./board.ts";
import { StepBuilder } from "./step-builder.ts";
import { embedRequest, generateRequest, type ModelNames } from "./translate.ts";

/** How often a link that has nothing of its own in the steps still hears how the engine is doing. */
const LOAD_EVERY_MS = 250;

/** What the links of a worker run on. */
export interface LinksDeps {
  /** Throws MODEL_LOADING or DRAINING when nothing new can start. */
  serving(): { engine: Engine; board: Board; names: ModelNames };
  /** What a caller that said Hello is told. */
  introduce(): Introduction;
  /** Ends requests by engine id; also while draining. */
  cancel(ids: readonly number[], mode: "stop" | "kill"): void;
  readonly clock: Clock;
  readonly log: Log;
  readonly tracer: Tracer;
}

/** All links of a worker. */
export interface Links {
  readonly service: ServedService;
  readonly size: number;
  /** Tells every caller. */
  notice(notice: { draining: boolean; modelsChanged: boolean; models: string[] }): void;
  /** Gives callers that got nothing from a step the load now and then. */
  load(metrics: StepMetrics): void;
  /** Ends all links: in order, or with the reason why. */
  closeAll(error?: StatorError): void;
}

/** stator.worker.v1.WorkerLinkService over a board. */
export function createLinks(deps: LinksDeps): Links {
  const open = new Set<LinkEnd>();
  const service = createService(WorkerLinkService, {
    link: {
      open(channel, call) {
        const end = openEnd(deps, channel, () => open.delete(end));
        open.add(end);
        deps.log.debug("link opened", { peer: call.peer.address });
      },
    },
  });
  return {
    service,
    get size() {
      return open.size;
    },
    notice(notice) {
      for (const { link } of open) link.notice(notice);
    },
    load(metrics) {
      for (const end of open) end.load(metrics);
    },
    closeAll(error) {
      for (const { link } of [...open]) link.close(error);
    },
  };
}

interface LinkEnd {
  readonly link: WorkerLink;
  load(metrics: StepMetrics): void;
}

function openEnd(deps: LinksDeps, channel: WorkerChannel, onGone: () => void): LinkEnd {
  const builder = new StepBuilder();
  /** Engine id and span of each open handle. */
  const opened = new Map<number, { readonly id: number; readonly span: Span }>();
  let loadToldMs = Number.NEGATIVE_INFINITY;

  const send = (metrics: StepMetrics): void => {
    loadToldMs = deps.clock.nowMs();
    link.step(builder.take(metrics));
  };
  const out: BoardSink = {
    onTokens: (handle, tokens) => builder.tokens(handle, tokens),
    onLogprobs: (handle, logprobs) => builder.logprobs(handle, logprobs),
    onEmbedding: (handle, values) => builder.embedding(handle, values),
    onFinish(handle, finish) {
      const open = opened.get(handle);
      opened.delete(handle);
      open?.span.set("stator.completion_tokens", finish.completionTokens);
      open?.span.end(finish.error?.reason);
      builder.finish(handle, finish);
    },
    endStep: send,
  };
  const sink: WorkerSink = {
    onSubmit(submit) {
      const { engine, board, names } = deps.serving();
      const promptTokens = promptOf(submit, engine);
      const make = submit.kind === RequestKind.EMBED ? embedRequest : generateRequest;
      if (submit.kind === RequestKind.UNSPECIFIED || (submit.rank ?? 0) !== 0) {
        throw new StatorError("INVALID_ARGUMENT", { detail: "Expected a request kind, and rank 0 or none" });
      }
      const { id, admission } = board.submit(out, submit.handle, (own) => make(own, submit, promptTokens, names));
      const span = deps.tracer.start("stator.worker", submit.traceparent || undefined);
      span.set("stator.request_id", submit.requestId);
      opened.set(submit.handle, { id, span });
      return admission;
    },
    onCancel(handles, mode) {
      const named = [...handles].map((handle) => opened.get(handle)?.id).filter((id) => id !== undefined);
      deps.cancel(named, mode === CancelMode.KILL ? "kill" : "stop");
    },
    onEnd(error) {
      onGone();
      deps.log.debug("link ended", { caller: link.caller, open: opened.size, error });
      if (opened.size === 0) return;
      deps.cancel(
        [...opened.values()].map(({ id }) => id),
        "kill",
      );
    },
  };
  const link = openWorkerLink(channel, { introduce: () => deps.introduce(), sink, clock: deps.clock });
  return {
    link,
    load(metrics) {
      if (deps.clock.nowMs() - loadToldMs >= LOAD_EVERY_MS) send(metrics);
    },
  };
}

function promptOf(submit: Submit, engine: Engine): Uint32Array {
  const hasText = submit.promptText !== "";
  if (hasText === submit.promptTokenIds.byteLength > 0) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "Expected exactly one of prompt_token_ids and prompt_text" });
  }
  return hasText ? engine.tokenize(submit.promptText) : readU32(submit.promptTokenIds, "prompt_token_ids").slice();
}
