import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  FinishReason,
  type GenerateRequestSchema,
  type GenerateResponse,
  type GenerationFinished,
  type TokenInfo,
} from "#gen/openengine/v1/generation_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import { type Client, createClient } from "#lib/rpc/client";
import { asPeerSaid } from "#lib/rpc/error-detail";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { ByteTransport } from "#lib/rpc/transport";
import { expect, Failure } from "../failure.ts";

/** A request without its name. */
export type Ask = Omit<MessageInitShape<typeof GenerateRequestSchema>, "$typeName" | "requestId">;

/** gRPC status codes that the contract names. */
export const CODE = {
  ok: 0,
  cancelled: 1,
  invalid: 3,
  deadline: 4,
  notFound: 5,
  exists: 6,
  precondition: 9,
  unimplemented: 12,
} as const;

/** The status of a call, in the engine's own words. */
export interface Status {
  /** gRPC code; 0 for OK. */
  readonly code: number;
  /** What the engine wrote; empty when it wrote nothing. */
  readonly message: string;
}

/** How a request is called. */
export interface CallInit {
  /** One of its own unless given. */
  readonly requestId?: string;
  /** Headers. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Bytes behind those of the request, such as fields that nobody knows. */
  readonly tail?: Uint8Array;
}

/** One sequence of an answer. */
export interface Sequence {
  /** Of all deltas, in order. */
  readonly tokens: TokenInfo[];
  /** Of all deltas, joined. */
  text: string;
  /** Every end that came. */
  readonly ends: GenerationFinished[];
  /** Tokens that came behind the first end. */
  late: number;
}

/** A call as it goes on, and all that came of it. */
export class RunningCall {
  readonly requestId: string;
  readonly messages: GenerateResponse[] = [];
  /** By index; a message without one counts as of sequence 0. */
  readonly sequences: Sequence[] = [];
  /** Set when the call is over. */
  status: Status | undefined;
  /** Of all messages, as they came. */
  bytes = 0;
  readonly #channel: DuplexChannel<Uint8Array, Uint8Array>;
  readonly #deps: CallerDeps;
  #wake: () => void = () => {};
  #flooded = false;

  constructor(requestId: string, channel: DuplexChannel<Uint8Array, Uint8Array>, deps: CallerDeps) {
    this.requestId = requestId;
    this.#channel = channel;
    this.#deps = deps;
    channel.receive({
      onMessage: (bytes) => this.#take(bytes),
      onEnd: (error) => {
        this.status ??= error ? statusOf(error) : { code: CODE.ok, message: "" };
        this.#wake();
      },
    });
  }

  /** Sequence 0, empty when nothing came of it. */
  get first(): Sequence {
    return this.sequences[0] ?? { tokens: [], text: "", ends: [], late: 0 };
  }

  /** Token ids of sequence 0. */
  get ids(): number[] {
    return this.first.tokens.map(({ tokenId }) => tokenId);
  }

  /** Waits until it holds, or the call is over. Fails when neither comes in time. */
  async until(holds: () => boolean, what: string): Promise<this> {
    const { clock, timeoutMs } = this.#deps;
    let late = false;
    const timer = clock.after(
      timeoutMs,
      () => {
        late = true;
        this.#wake();
      },
      { keepAlive: true },
    );
    while (!holds() && !this.status && !late) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    timer.cancel();
    expect(!this.#flooded, `it floods: more than ${this.#deps.mostMessages} messages came in one call`);
    expect(!late || holds() || this.status, `${what} did not come in ${timeoutMs} ms`);
    return this;
  }

  /** Waits for the end of the call. */
  over(): Promise<this> {
    return this.until(() => false, "the end of the call");
  }

  /** Waits for its first token; fails when it ends in an error before. */
  async begun(): Promise<this> {
    await this.until(() => this.messages.length > 0, "the first message");
    expect(this.messages.length > 0, `it was refused: ${tell(this.status)}`);
    return this;
  }

  /** Goes away, as a caller does. */
  leave(): void {
    this.#channel.end(new StatorError("CANCELLED"));
  }

  /** Reads no further. */
  pause(): void {
    this.#channel.pause();
  }

  /** Reads on. */
  resume(): void {
    this.#channel.resume();
  }

  #take(bytes: Uint8Array): void {
    if (this.status) return;
    this.bytes += bytes.length;
    if (this.messages.length >= this.#deps.mostMessages) {
      this.#flooded = true;
      this.status = { code: CODE.cancelled, message: "the caller had enough" };
      this.leave();
      this.#wake();
      return;
    }
    const message = fromBinary(Inference.method.generate.output, bytes);
    this.messages.push(message);
    this.#read(message);
    this.#wake();
  }

  #read({ event }: GenerateResponse): void {
    if (event.case !== "token" && event.case !== "finished") return;
    const index = event.value.outputIndex ?? 0;
    expect(index < 1_024, `a message names sequence ${index}`);
    for (let at = this.sequences.length; at <= index; at++) {
      this.sequences.push({ tokens: [], text: "", ends: [], late: 0 });
    }
    const sequence = this.sequences[index]!;
    if (event.case === "finished") {
      sequence.ends.push(event.value);
      return;
    }
    if (sequence.ends.length > 0) sequence.late += Math.max(1, event.value.tokens.length);
    sequence.tokens.push(...event.value.tokens);
    sequence.text += event.value.text;
  }
}

/** What a caller goes by. */
export interface CallerDeps {
  /** Borrowed; waits go by it. */
  readonly clock: Clock;
  /** Longest wait for one thing. */
  readonly timeoutMs: number;
  /** Messages of one call beyond are a flood. */
  readonly mostMessages: number;
}

/** A caller of one engine: it says what it is told, right or wrong, and keeps what it hears. */
export class EngineCaller {
  /** Of openengine.v1.Control; each call has the caller's time limit. */
  readonly control: Client<typeof Control>;
  readonly #transport: ByteTransport;
  readonly #deps: CallerDeps;
  readonly #names: () => string;
  readonly #calls: RunningCall[] = [];

  constructor(transport: ByteTransport, { names, ...deps }: CallerDeps & { readonly names: () => string }) {
    this.#transport = transport;
    this.#deps = deps;
    this.#names = names;
    this.control = limited(createClient(Control, transport), deps.timeoutMs);
  }

  /** A name that no request of this run has. */
  name(): string {
    return this.#names();
  }

  /** Starts a request. */
  start(ask: Ask, { requestId = this.name(), metadata, tail }: CallInit = {}): RunningCall {
    const { generate } = Inference.method;
    const channel = this.#transport.openBytes(generate, { metadata });
    const call = new RunningCall(requestId, channel, this.#deps);
    this.#calls.push(call);
    const bytes = toBinary(generate.input, create(generate.input, { ...ask, requestId }));
    channel.send(tail ? new Uint8Array([...bytes, ...tail]) : bytes);
    channel.end();
    return call;
  }

  /** Runs a request to its end, whatever that is. */
  ask(ask: Ask, init?: CallInit): Promise<RunningCall> {
    return this.start(ask, init).over();
  }

  /** Runs a request that is to be answered: fails when it is refused or fails. */
  async whole(ask: Ask, init?: CallInit): Promise<RunningCall> {
    const call = await this.ask(ask, init);
    expect(call.status?.code === CODE.ok, `it was refused: ${tell(call.status)}`);
    for (const { event } of call.messages) {
      expect(event.case !== "error", `it failed: ${event.case === "error" ? event.value.message : ""}`);
    }
    return call;
  }

  /** Waits. */
  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#deps.clock.after(ms, resolve, { keepAlive: true });
    });
  }

  /** Asks again and again until it holds; false when it does not in time. */
  async poll(holds: () => Promise<boolean>, withinMs = this.#deps.timeoutMs): Promise<boolean> {
    const untilMs = this.#deps.clock.nowMs() + withinMs;
    for (;;) {
      if (await holds()) return true;
      if (this.#deps.clock.nowMs() >= untilMs) return false;
      await this.pause(20);
    }
  }

  /** Ends what it has started. */
  close(): void {
    for (const call of this.#calls) if (!call.status) call.leave();
  }
}

/** Unary calls with a time limit: a worker that hangs is named. Streams have none. */
function limited(client: Client<typeof Control>, timeoutMs: number): Client<typeof Control> {
  const entries = Object.entries(client).map(([name, call]) => {
    const isStream = Control.methods.some((each) => each.localName === name && each.methodKind !== "unary");
    const ask = call as (request: unknown, options?: object) => unknown;
    return [name, (request: unknown, options?: object) => ask(request, isStream ? options : { timeoutMs, ...options })];
  });
  // Each entry takes what the one below it takes; the compiler cannot follow the table.
  return Object.fromEntries(entries) as Client<typeof Control>;
}

/** The status that an error came as, in the words of the engine. */
export function statusOf(error: StatorError): Status {
  const said = asPeerSaid(error);
  return said ? { code: said.row.grpc, message: said.message } : { code: error.row.grpc, message: "" };
}

/** The status of a unary call: OK when it is answered. Fails when the engine does not answer. */
export async function statusOfCall(call: Promise<unknown>): Promise<Status> {
  try {
    await call;
    return { code: CODE.ok, message: "" };
  } catch (caught) {
    const error = asStatorError(caught);
    if (error.reason === "DEADLINE" || asPeerSaid(error) === undefined) throw new Failure(error.message);
    return statusOf(error);
  }
}

const CODE_NAMES = [
  ..."OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED".split(" "),
  ..."RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS".split(
    " ",
  ),
  "UNAUTHENTICATED",
];

/** A gRPC code by its name. */
export function codeName(code: number): string {
  return CODE_NAMES[code] ?? `status ${code}`;
}

/** A status in words. */
export function tell(status: Status | undefined): string {
  if (!status) return "the call is not over";
  return `${codeName(status.code)}${status.message === "" ? "" : ` "${status.message}"`}`;
}

/** Whether the call was ended for its caller's sake: by finishes or by an error that say so. */
export function wasCancelled({ messages, sequences }: RunningCall, errorCode: number): boolean {
  if (messages.some(({ event }) => event.case === "error" && event.value.code === errorCode)) return true;
  const ends = sequences.flatMap((sequence) => sequence.ends);
  return ends.length > 0 && ends.every(({ reason }) => reason === FinishReason.CANCELLED);
}
