import { asStatorError, StatorError } from "#lib/base/errors";
import type { GenerateRequest } from "#lib/engines/engine";
import type { Scope } from "#lib/host/scope";
import type { Tracer } from "#lib/host/telemetry";
import type { Fetched, TransferAgent, TransferReportInit, TransferSource } from "#lib/transfer/agent";
import type { Preparation, PreparationListener } from "../board-sink.ts";
import { joinTokens, type Leg, type LegEnd } from "./leg.ts";

/** What brings blocks in. */
export interface Fetching {
  /** Fetches them. */
  readonly agent: Pick<TransferAgent, "fetch">;
  /** Owns the fetches. */
  readonly scope: Pick<Scope, "spawn">;
  /** Makes one span for each. */
  readonly tracer: Tracer;
}

/** Whose request it is, for logs and traces. */
export interface Traced {
  /** As in logs. */
  readonly requestId: string;
  /** The caller's trace context. */
  readonly traceparent: string | undefined;
}

/** The leg of an answer that goes on from blocks of elsewhere: it brings in what is lacking, then asks the engine. */
export class ContinuedLeg implements Leg {
  readonly part = "decode";
  readonly make: Preparation;
  #report: TransferReportInit | undefined;

  /** @param request as the engine is to be asked; of a room without the tokens that the prefill will have drawn */
  constructor(fetching: Fetching, request: GenerateRequest, about: Traced & { readonly from: TransferSource }) {
    this.make = {
      begin: (listener) => {
        const abort = new AbortController();
        fetching.scope.spawn("fetch blocks", async () => {
          const fetched = await this.#fetch(fetching, request, { ...about, listener, signal: abort.signal });
          if (!fetched) return;
          this.#report = fetched.report;
          // Of a session its caller has these tokens, and has named them among those that were generated.
          const drawn = "room" in about.from ? fetched.firstTokens : NONE;
          const generatedTokens = joinTokens(request.generatedTokens, drawn);
          listener.onReady((id) => ({ ...request, id, generatedTokens }));
        });
        return () => abort.abort(new StatorError("CANCELLED"));
      },
    };
  }

  /** undefined when the listener was told that nothing can come of it. */
  async #fetch(
    { agent, tracer }: Fetching,
    { promptTokens, generatedTokens, cacheSalt, adapter }: GenerateRequest,
    about: Traced & { from: TransferSource; listener: PreparationListener; signal: AbortSignal },
  ): Promise<Fetched | undefined> {
    const { from, listener, signal, requestId, traceparent } = about;
    const prompt = { tokens: joinTokens(promptTokens, generatedTokens), cacheSalt, adapter };
    const span = tracer.start("stator.transfer", traceparent);
    span.set("stator.request_id", requestId);
    try {
      const fetched = await agent.fetch(from, prompt, { signal });
      const { blocks = 0, bytes = 0n, rung = "", reason = "" } = fetched.report;
      span.set("stator.transfer.blocks", blocks);
      span.set("stator.transfer.bytes", Number(bytes));
      span.set("stator.transfer.rung", rung);
      span.end(reason || undefined);
      return fetched;
    } catch (caught) {
      const error = asStatorError(caught);
      span.end(error.reason);
      listener.onFailed(error);
      return undefined;
    }
  }

  onRefused(): void {}

  onTokens(): void {}

  onFinish(): LegEnd {
    return this.#report ? { transfer: this.#report } : {};
  }
}

const NONE = new Uint32Array(0);
