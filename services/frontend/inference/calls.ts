import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { checkInferCost } from "#lib/api/kserve/infer-cost";
import { type InferHead, peekInferRequest } from "#lib/api/kserve/peek";
import type { Clock } from "#lib/base/clock";
import { Roster } from "#lib/base/collections";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import type { CallContext } from "#lib/rpc/call";
import { parse } from "#lib/rpc/serialize";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { SharedRegions } from "#lib/shared/shared-regions";
import type { Door } from "../doors/door.ts";
import { checkVersion } from "../doors/kserve/describe.ts";
import { type InferForm, readInfer } from "../doors/kserve/read.ts";
import type { Admission } from "../http/admission.ts";
import type { FrontendLimits } from "../limits.ts";
import type { ServedModel } from "../models/served.ts";
import type { RequestMeter } from "../request-meter.ts";
import { type ServeTools, serve } from "../serve/serve.ts";
import { STREAMED, WHOLE } from "./doors.ts";
import { ForwardedAnswer } from "./forwarded-answer.ts";
import type { Forwarding } from "./forwarding.ts";
import { createRegionPlaces, startHolding } from "./region-places.ts";
import { RegionReply } from "./region-reply.ts";
import { type Carrier, GrpcReply } from "./reply.ts";
import { StreamCall } from "./stream-call.ts";
import { UnaryCall } from "./unary-call.ts";

/** What requests over gRPC are served with. All of it is borrowed. */
export interface InferenceTools {
  /** As for every other door. */
  readonly serving: ServeTools;
  /** Has a place for each request that runs, whatever door it came in at, and room for its bytes. */
  readonly admission: Admission;
  /** Notes what became of them. */
  readonly meter: RequestMeter;
  /** How many, and how long clients may take. */
  readonly limits: Pick<FrontendLimits, "streams" | "streamRequests" | "slowClientMs">;
  /** Of all waits and times. */
  readonly clock: Clock;
  /** A name for a request that brings none; no two alike. */
  readonly drawRequestId: () => string;
  /** The way of requests for models of tensors; undefined: there are none. */
  readonly forwarding: Forwarding | undefined;
  /** Regions of shared memory that requests may name; undefined: there are none. */
  readonly regions: SharedRegions | undefined;
}

/** How one request is answered. */
interface Way {
  readonly carrier: Carrier;
  /** Set for a request on a stream. */
  readonly stream: StreamCall | undefined;
  readonly door: Door<InferForm, Uint8Array>;
}

/** A request that has begun. */
interface Begun {
  readonly head: InferHead;
  readonly reply: GrpcReply;
  readonly way: Way;
}

const NO_HEAD: InferHead = { modelName: "", modelVersion: "", id: "", parameters: new Map() };

/** The calls of ModelInfer and ModelStreamInfer, and the requests on them. */
export class InferenceCalls {
  readonly #tools: InferenceTools;
  readonly #replies = new Roster<GrpcReply>();
  readonly #streams = new Roster<StreamCall>();
  #draining = false;
  #onIdle: (() => void)[] = [];

  constructor(tools: InferenceTools) {
    this.#tools = tools;
  }

  /** Requests that are not over. */
  get open(): number {
    return this.#replies.size;
  }

  /** Calls of ModelStreamInfer that are open. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /** Takes a call of ModelInfer. */
  readonly whole = (channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext): void => {
    let request: Uint8Array | undefined;
    channel.receive({
      onMessage(bytes) {
        request = bytes;
      },
      onEnd: (error) => {
        if (error || !request) return;
        const reply = this.#begin(request, { carrier: new UnaryCall(channel, call), stream: undefined, door: WHOLE });
        if (reply.closed) return;
        if (call.signal.aborted) reply.leave("aborted");
        else call.signal.addEventListener("abort", () => reply.leave("aborted"));
      },
    });
  };

  /** Takes a call of ModelStreamInfer. */
  readonly stream = (channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext): void => {
    const { limits, clock } = this.#tools;
    const isFull = this.#streams.size >= limits.streams;
    if (this.#draining || isFull) {
      channel.end(this.#draining ? draining() : new StatorError("OVERLOADED", { what: "streams" }));
      return;
    }
    const stream = new StreamCall(channel, call, {
      mostRequests: limits.streamRequests,
      patience: { clock, slowMs: limits.slowClientMs },
      begin: (bytes, carrier) => void this.#begin(bytes, { carrier, stream: carrier, door: STREAMED }),
      onClosed: (closed) => {
        this.#streams.delete(closed);
        this.#tellIdle();
      },
    });
    this.#streams.add(stream);
    stream.receive();
  };

  /** Takes no new request: what comes on open streams gets DRAINING, and each ends with its last request. */
  stopAccepting(): void {
    this.#draining = true;
    for (const stream of this.#streams.snapshot()) stream.drain();
  }

  /** Resolves when every request and every stream is over. */
  idle(): Promise<void> {
    if (this.#replies.size + this.#streams.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Ends the work on every request that is not over, and tells its client why. */
  abortAll(error: StatorError): void {
    for (const reply of this.#replies.snapshot()) {
      if (reply.work) reply.work.abort(error);
      else reply.fail(error);
    }
  }

  /** Throws nothing: what is wrong with a request is its answer. */
  #begin(bytes: Uint8Array, way: Way): GrpcReply {
    const { clock } = this.#tools;
    let head = NO_HEAD;
    let refusal: unknown;
    try {
      head = peekInferRequest(bytes);
    } catch (caught) {
      refusal = caught;
    }
    const reply = new GrpcReply({
      carrier: way.carrier,
      route: way.door.name,
      requestId: this.#nameOf(head, way),
      id: head.id,
      model: head.modelName,
      arrivedMs: clock.nowMs(),
      bytesIn: bytes.byteLength,
      onClosed: (closed) => this.#closed(closed, way),
    });
    this.#replies.add(reply);
    way.stream?.add(reply);
    if (!way.stream) reply.set("x-request-id", reply.requestId);
    if (refusal) this.#fail(reply, refusal);
    else this.#run(bytes, { head, reply, way }).catch((caught: unknown) => this.#fail(reply, caught));
    return reply;
  }

  /** The client's own, where it can stand in a log. A stream has one header for many requests. */
  #nameOf({ id }: InferHead, { carrier, stream }: Way): string {
    const given = (stream ? undefined : carrier.header("x-request-id")) ?? id;
    return /^[\w.:-]{1,128}$/.test(given) ? given : this.#tools.drawRequestId();
  }

  async #run(bytes: Uint8Array, about: Begun): Promise<void> {
    const { admission } = this.#tools;
    const { reply } = about;
    if (this.#draining) throw draining();
    admission.enter();
    reply.place = admission;
    if (!admission.take(bytes.byteLength)) throw new StatorError("OVERLOADED", { what: "request bodies" });
    let isKept = false;
    try {
      const model = await this.#find(about);
      if (reply.closed) return;
      if (model) return await this.#serve(bytes, model, about);
      isKept = true;
    } finally {
      if (!isKept) admission.release(bytes.byteLength);
    }
    // Tensors are sent as they are, and waited for: their bytes count until they are answered.
    reply.place = {
      leave: () => {
        admission.release(bytes.byteLength);
        admission.leave();
      },
    };
    this.#forward(bytes, about);
  }

  /** The model that is asked; undefined for one of tensors. A model that is not there is told before anything is read. */
  async #find({ head: { modelName }, reply }: Begun): Promise<ServedModel | undefined> {
    const { forwarding, serving } = this.#tools;
    if (forwarding?.takes(modelName)) return undefined;
    try {
      return await serving.findModel(modelName, reply);
    } catch (error) {
      // What a model takes that was loading is known when it has come.
      if (forwarding?.takes(modelName)) return undefined;
      throw error;
    }
  }

  #forward(bytes: Uint8Array, { head, reply, way }: Begun): void {
    const { forwarding } = this.#tools;
    assert(forwarding, "only a way of tensors takes tensors");
    const { requestId, route } = reply;
    const method = way.stream ? "modelStreamInfer" : "modelInfer";
    const answer = new ForwardedAnswer(reply, way.stream !== undefined);
    const header = (name: string) => reply.header(name);
    answer.attach(forwarding.infer({ method, bytes, head, requestId, route, header }, answer));
  }

  async #serve(bytes: Uint8Array, { features }: ServedModel, { head, reply, way }: Begun): Promise<void> {
    const { serving, regions } = this.#tools;
    checkVersion(head.modelName, head.modelVersion);
    checkInferCost(bytes);
    const request = parse(ModelInferRequestSchema, bytes);
    const hold = regions?.hold(request);
    await startHolding(hold, reply, async () => {
      const asked = readInfer(hold ? await hold.fill(request) : request, {
        generate: features.generate !== false,
        embed: features.embed !== false,
        stream: way.stream ? "allowed" : "refused",
      });
      if (reply.closed) return;
      const places = hold && createRegionPlaces(hold, way.stream ? "onStream" : "whole");
      const told = places ? new RegionReply(reply, places) : reply;
      await serve({ asked, conversation: undefined, close() {} }, { door: way.door, reply: told }, serving);
    });
  }

  #fail(reply: GrpcReply, caught: unknown): void {
    const error = asStatorError(caught);
    this.#tools.meter.refused(reply, error, "info");
    reply.fail(error);
  }

  #closed(reply: GrpcReply, { stream }: Way): void {
    this.#replies.delete(reply);
    stream?.remove(reply);
    reply.place?.leave();
    this.#tools.meter.ended(reply);
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#onIdle.length === 0 || this.#replies.size + this.#streams.size > 0) return;
    const calls = this.#onIdle;
    this.#onIdle = [];
    for (const call of calls) call();
  }
}

function draining(): StatorError {
  return new StatorError("DRAINING", { what: "This frontend" });
}
