// Load for gRPC servers, in a process of its own: HTTP/2 by hand on raw sockets, with calls that keep one request each.
//   node grpc-client.ts SEED; then {load} by IPC, {} to read the counters, {stop: true} to end the load.
import { connect, type Socket } from "node:net";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { createParameter } from "#lib/api/kserve/parameters";
import { createBytesTensor } from "#lib/api/kserve/tensor";
import type { ClientCount } from "../sides.ts";
import { TextWriter } from "../text.ts";

/** What the client is told to do. */
export interface GrpcLoad {
  readonly port: number;
  readonly connections: number;
  /** Calls on each connection that are open at once; each has one request, and is followed by another when it is over. */
  readonly calls: number;
  /** ModelStreamInfer with `stream`, or ModelInfer. */
  readonly streams: boolean;
  readonly model: string;
  readonly maxTokens: number;
  /** Words of each prompt, which nobody has seen. */
  readonly words: number;
}

const SERVICE = "/inference.GRPCInferenceService/";
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const FRAME = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const FLAG = { ack: 1, endStream: 1, endHeaders: 4, padded: 8 } as const;
const FRAME_HEAD = 9;
const MESSAGE_HEAD = 5;
const WINDOW = 0x7f_ff_ff_ff;
const USUAL_WINDOW = 65_535;
const RENEW_BYTES = 64 * 1024 * 1024;
/** Tag of `error_message` in an answer on a stream. */
const ERROR_TAG = 0x0a;

const writer = new TextWriter(Number(process.argv[2] ?? 0));
const count = { requests: 0, reads: 0, refused: "" };
let sockets: Socket[] = [];

function frame(type: number, { flags = 0, stream = 0 }: { flags?: number; stream?: number }, body: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD + body.length);
  bytes.writeUIntBE(body.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  bytes.set(body, FRAME_HEAD);
  return bytes;
}

function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** SETTINGS_ENABLE_PUSH and SETTINGS_INITIAL_WINDOW_SIZE. */
const SETTINGS = Buffer.concat([Buffer.of(0, 2), number32(0), Buffer.of(0, 4), number32(WINDOW)]);

/** Headers as literals that nobody keeps; the first bytes are places in HPACK's own table. */
function headersOf(path: string): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
  return Buffer.concat([
    Buffer.of(0x83, 0x86, 0x04),
    text(path),
    Buffer.of(0x01),
    text("127.0.0.1"),
    Buffer.of(0x0f, 0x10),
    text("application/grpc"),
    Buffer.of(0x00),
    text("te"),
    text("trailers"),
  ]);
}

function requestOf({ model, maxTokens, words, streams }: GrpcLoad): Buffer {
  const prompt = createBytesTensor("text_input", [writer.words(words)]);
  const init: MessageInitShape<typeof ModelInferRequestSchema> = {
    modelName: model,
    parameters: {
      max_tokens: createParameter(BigInt(maxTokens)),
      ignore_eos: createParameter(true),
      ...(streams && { stream: createParameter(true) }),
    },
    inputs: [{ name: prompt.name, datatype: prompt.datatype, shape: [1n] }],
    outputs: [{ name: "text_output" }],
    rawInputContents: [prompt.data],
  };
  const message = toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, init));
  return Buffer.concat([Buffer.of(0), number32(message.length), message]);
}

/** What came of a call. */
class Call {
  messages = 0;
  readonly #head = Buffer.alloc(MESSAGE_HEAD);
  #headBytes = 0;
  /** Bytes of the message that is coming. */
  #left = 0;
  readonly #onMessage: (firstByte: number) => void;

  constructor(onMessage: (firstByte: number) => void) {
    this.#onMessage = onMessage;
  }

  /** Messages begin and end anywhere in what comes. */
  take(body: Buffer): void {
    for (let at = 0; at < body.length; ) {
      if (this.#headBytes < MESSAGE_HEAD) {
        const part = body.copy(this.#head, this.#headBytes, at);
        this.#headBytes += part;
        at += part;
        if (this.#headBytes < MESSAGE_HEAD) return;
        this.#left = this.#head.readUInt32BE(1);
        this.messages++;
        count.reads++;
        if (at === body.length) return;
        this.#onMessage(body[at]!);
      }
      const part = Math.min(this.#left, body.length - at);
      this.#left -= part;
      at += part;
      if (this.#left === 0) this.#headBytes = 0;
    }
  }
}

function open(load: GrpcLoad): Socket {
  const headers = headersOf(SERVICE + (load.streams ? "ModelStreamInfer" : "ModelInfer"));
  const calls = new Map<number, Call>();
  let lastStream = -1;
  let rest = Buffer.alloc(0);
  let taken = 0;
  const look = (firstByte: number): void => {
    if (load.streams && firstByte === ERROR_TAG) refuse("an answer tells an error");
  };
  const begin = (): void => {
    lastStream += 2;
    const stream = lastStream;
    calls.set(stream, new Call(look));
    const head = frame(FRAME.headers, { flags: FLAG.endHeaders, stream }, headers);
    socket.write(Buffer.concat([head, frame(FRAME.data, { flags: FLAG.endStream, stream }, requestOf(load))]));
  };
  const end = (stream: number): void => {
    const call = calls.get(stream);
    if (!call) return;
    calls.delete(stream);
    count.requests++;
    if (call.messages === 0) refuse("a call ended without an answer");
    else begin();
  };
  const takeData = (stream: number, body: Buffer): void => {
    calls.get(stream)?.take(body);
    taken += body.length;
    if (taken < RENEW_BYTES) return;
    socket.write(frame(FRAME.windowUpdate, {}, number32(taken)));
    taken = 0;
  };
  const take = (type: number, { flags, stream }: { flags: number; stream: number }, body: Buffer): void => {
    if (type === FRAME.data) takeData(stream, body);
    else if (type === FRAME.settings && !(flags & FLAG.ack))
      socket.write(frame(FRAME.settings, { flags: FLAG.ack }, NONE));
    else if (type === FRAME.ping && !(flags & FLAG.ack)) socket.write(frame(FRAME.ping, { flags: FLAG.ack }, body));
    else if (type === FRAME.reset || type === FRAME.goAway) refuse(`frame ${type} with ${body.toString("hex")}`);
    if ((type === FRAME.data || type === FRAME.headers) && flags & FLAG.endStream) end(stream);
  };
  const socket = connect(load.port, "127.0.0.1", () => {
    socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, {}, SETTINGS)]));
    socket.write(frame(FRAME.windowUpdate, {}, number32(WINDOW - USUAL_WINDOW)));
    for (let at = 0; at < load.calls; at++) begin();
  });
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    while (bytes.length - at >= FRAME_HEAD) {
      const next = at + FRAME_HEAD + bytes.readUIntBE(at, 3);
      if (next > bytes.length) break;
      const about = { flags: bytes[at + 4]!, stream: bytes.readUInt32BE(at + 5) };
      take(bytes[at + 3]!, about, bytes.subarray(at + FRAME_HEAD, next));
      at = next;
    }
    rest = bytes.subarray(at);
  });
  return socket;
}

const NONE = Buffer.alloc(0);

function refuse(why: string): void {
  count.refused ||= why;
}

process.on("message", ({ load, stop }: { load?: GrpcLoad; stop?: boolean }) => {
  if (stop) for (const socket of sockets) socket.destroy();
  if (load) {
    sockets = [];
    for (let at = 0; at < load.connections; at++) setTimeout(() => sockets.push(open(load)), 2 * at);
  }
  process.send?.({ ...count } satisfies ClientCount);
});
process.on("disconnect", () => process.exit());
process.send?.({});
