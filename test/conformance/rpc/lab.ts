import { randomBytes } from "node:crypto";
import type { MessageShape } from "@bufbuild/protobuf";
import type { BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { type Reason, StatorError } from "#lib/base/errors";
import type { CallContext, Peer } from "#lib/rpc/call";
import { createService, type ServedService } from "#lib/rpc/service";
import type { DuplexChannel } from "#lib/rpc/stream";
import { EchoService } from "./echo.ts";

type Bytes = MessageShape<typeof BytesValueSchema>;

/** Size of one message of a flood. */
export const FLOOD_BYTES = 64 * 1024;

/** Connect compresses: only noise fills a window. */
const INCOMPRESSIBLE = randomBytes(FLOOD_BYTES);

/** The implementation of EchoService that the suite calls, and what it saw. */
export class Lab {
  /** Contexts of the calls in order. */
  readonly calls: CallContext[] = [];
  /** Messages that `count` yielded. */
  yielded = 0;
  /** Streams whose `finally` ran. */
  finished = 0;
  /** Errors that ended callback streams, in order; undefined for an end in order. */
  readonly ends: (StatorError | undefined)[] = [];
  /** Messages that byte handlers saw, in order. */
  readonly seen: Uint8Array[] = [];
  /** Server ends of the open callback streams. */
  readonly links: DuplexChannel<Bytes, Bytes>[] = [];
  readonly service: ServedService;

  constructor() {
    this.service = createService(EchoService, {
      say: (request, call) => this.#say(request.value, call),
      fill: ({ value }, call) => {
        this.calls.push(call);
        return { value: new Uint8Array(value) };
      },
      count: ({ value }, call) => this.#count(value, call),
      join: async (requests, call) => {
        this.calls.push(call);
        let joined = "";
        for await (const { value } of requests) joined += value;
        return { value: joined };
      },
      chat: (requests, call) => this.#chat(requests, call),
      link: { open: (channel, call) => this.#link(channel, call) },
      mirror: { bytes: (channel, call) => this.#mirror(channel, call) },
      relay: { bytes: (channel, call) => this.#relay(channel, call) },
      secret: () => ({ value: "told" }),
      flood: (_, call) => this.#flood(call),
    });
  }

  /** Who made each call. */
  readonly peers: Peer[] = [];

  get last(): CallContext {
    const call = this.calls.at(-1);
    if (!call) throw new Error("no call came");
    return call;
  }

  async #say(text: string, call: CallContext): Promise<{ value: string }> {
    this.calls.push(call);
    this.peers.push(call.peer);
    if (text === "crash") throw new TypeError("a secret inside");
    if (text === "retry") {
      throw new StatorError("INVALID_FIELD", { field: "n", detail: "bad" }, { param: "n", retryAfterMs: 1_500 });
    }
    if (text.startsWith("!")) throw new StatorError(text.slice(1) as Reason, { model: "m" });
    if (text === "wait") await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
    if (text === "headers") {
      call.sendHeaders({ "x-answer": `${call.metadata.get("x-question")}!` });
      call.setTrailers({ "x-trailer": "after" });
    }
    return { value: text };
  }

  async *#count(to: number, call: CallContext): AsyncGenerator<{ value: number }> {
    this.calls.push(call);
    try {
      for (let at = 0; at < to; at++) {
        yield { value: at };
        this.yielded++;
      }
      if (to === 7) throw new StatorError("NO_WORKERS", { model: "seven" });
      if (to === 0) await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
    } finally {
      this.finished++;
    }
  }

  async *#flood(call: CallContext): AsyncGenerator<{ value: Uint8Array }> {
    this.calls.push(call);
    try {
      for (;;) {
        yield { value: INCOMPRESSIBLE };
        this.yielded++;
      }
    } finally {
      this.finished++;
    }
  }

  async *#chat(requests: AsyncIterable<{ value: string }>, call: CallContext): AsyncGenerator<{ value: string }> {
    this.calls.push(call);
    let count = 0;
    for await (const { value } of requests) {
      count++;
      yield { value: `${value}?` };
    }
    yield { value: `${count} in all` };
  }

  #link(channel: DuplexChannel<Bytes, Bytes>, call: CallContext): void {
    this.calls.push(call);
    this.links.push(channel);
    channel.receive({
      onMessage(message) {
        channel.send(message);
      },
      onEnd: (error) => {
        this.ends.push(error);
        if (!error) channel.end();
      },
    });
  }

  #mirror(channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext): void {
    this.calls.push(call);
    let message: Uint8Array | undefined;
    channel.receive({
      onMessage: (bytes) => {
        this.seen.push(bytes);
        message = bytes;
      },
      onEnd: (error) => {
        this.ends.push(error);
        if (error || !message) return;
        channel.send(message);
        channel.end();
      },
    });
  }

  /** As it comes; an empty message is a bug. */
  #relay(channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext): void {
    this.calls.push(call);
    if (call.metadata.get("x-refuse")) throw new StatorError("NO_WORKERS", { model: "m" });
    channel.receive({
      onMessage: (bytes) => {
        this.seen.push(bytes);
        if (bytes.byteLength === 0) throw new TypeError("a secret inside");
        channel.send(bytes);
      },
      onEnd: (error) => {
        this.ends.push(error);
        if (!error) channel.end();
      },
    });
  }
}
