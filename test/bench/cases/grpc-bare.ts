// Baselines: what grpc-js costs for the same work, as its own loader of protos makes the messages. One role per process.
//   node grpc-bare.ts stream RATE TOKENS GROUPS SEED | relay HOST:PORT; {joined: TOKENS_PER_MESSAGE} by IPC
import { createRequire } from "node:module";
import path from "node:path";
import {
  credentials,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import { cpuUs } from "../harness.ts";
import { TextWriter } from "../text.ts";

const [role, ...rest] = process.argv.slice(2);
const MESSAGE_BYTES = 32 * 1024 * 1024;
const LIMITS = { "grpc.max_receive_message_length": MESSAGE_BYTES, "grpc.max_send_message_length": MESSAGE_BYTES };
const PROTOS = path.join(import.meta.dirname, "../../../proto/foreign");
const SERVICE = "inference.GRPCInferenceService";
let tokens = 0;
/** Tokens of a message, on average. */
let joined = 1;

/** The part of `@grpc/proto-loader` that is used: it comes with grpc-js and is no dependency of ours. */
interface ProtoLoader {
  loadSync(file: string, options: { includeDirs: string[] }): Record<string, ServiceDefinition>;
}

function loadService(): ServiceDefinition {
  const grpcRequire = createRequire(createRequire(import.meta.url).resolve("@grpc/grpc-js"));
  const loader = grpcRequire("@grpc/proto-loader") as ProtoLoader;
  return loader.loadSync("inference/service.proto", { includeDirs: [PROTOS] })[SERVICE]!;
}

interface Stream {
  readonly call: ServerDuplexStream<unknown, unknown>;
  told: number;
  text: string;
  waiting: number;
  messages: number;
  full: boolean;
}

/**
 * Streams in groups, as on so many workers; each group makes a step of one token for each of its streams at this rate, and
 * at the rate 0 whenever a stream takes one.
 */
function streams([rate = 0, count = 1, groups = 1, seed = 0]: readonly number[]): handleBidiStreamingCall<
  unknown,
  unknown
> {
  const words = new TextWriter(seed).words(20_000).match(/\s*\S+/g) ?? [];
  const open = Array.from({ length: groups }, () => new Set<Stream>());
  const write = (stream: Stream): void => {
    const text = Buffer.from(`....${stream.text}`);
    text.writeUInt32LE(text.length - 4);
    const outputs = [{ name: "text_output", datatype: "BYTES", shape: [1] }];
    const inferResponse = { modelName: "bench", modelVersion: "1", outputs, rawOutputContents: [text] };
    stream.full = !stream.call.write({ inferResponse });
    stream.messages++;
    stream.text = "";
    stream.waiting = 0;
  };
  const say = (stream: Stream): void => {
    stream.text += words[tokens++ % words.length]!;
    stream.told++;
    stream.waiting++;
    // Whole tokens that come to the average over many messages.
    const wanted = Math.floor(joined * (stream.messages + 1)) - Math.floor(joined * stream.messages);
    if (stream.waiting >= wanted || stream.told >= count) write(stream);
  };
  const step = (group: Set<Stream>): void => {
    for (const stream of group) {
      if (rate === 0 && stream.full) continue;
      say(stream);
      if (stream.told < count) continue;
      group.delete(stream);
      stream.call.end();
    }
  };
  const runFast = (): void => {
    for (const group of open) step(group);
    setImmediate(runFast);
  };
  const runPaced = (group: Set<Stream>, dueMs: number): void => {
    step(group);
    // Late timers do not add up, but what was missed by more than a step is not made up for.
    const nextMs = Math.max(dueMs + 1_000 / rate, performance.now());
    setTimeout(runPaced, Math.max(0, nextMs - performance.now()), group, nextMs);
  };
  if (rate === 0) runFast();
  else
    for (const [at, group] of open.entries())
      setTimeout(runPaced, (at * 1_000) / rate / groups, group, performance.now());
  let started = 0;
  return (call) => {
    const group = open[started++ % groups]!;
    const stream: Stream = { call, told: 0, text: "", waiting: 0, messages: 0, full: false };
    call.on("data", () => group.add(stream));
    call.on("drain", () => {
      stream.full = false;
    });
    for (const over of ["cancelled", "close", "error"]) call.on(over, () => group.delete(stream));
  };
}

const asTheyAre = (bytes: Buffer): Buffer => bytes;

/** Passes the bytes of a call on, both ways. */
function relay(address: string, at: string): handleUnaryCall<Buffer, Buffer> {
  const client = new (makeGenericClientConstructor({}, "Relay"))(address, credentials.createInsecure(), LIMITS);
  return (call, answer) => {
    client.makeUnaryRequest<Buffer, Buffer>(at, asTheyAre, asTheyAre, call.request, (error, bytes) =>
      answer(error, bytes),
    );
  };
}

const service = loadService();
const server = new Server(LIMITS);
if (role === "relay") {
  const { ModelInfer: infer } = service;
  const bytes = {
    requestSerialize: asTheyAre,
    requestDeserialize: asTheyAre,
    responseSerialize: asTheyAre,
    responseDeserialize: asTheyAre,
  };
  server.addService({ ModelInfer: { ...infer!, ...bytes } }, { ModelInfer: relay(rest[0]!, infer!.path) });
} else {
  server.addService(service, { ModelStreamInfer: streams(rest.map(Number)) });
}
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ port });
});
process.on("message", (question: { joined?: number }) => {
  if (question.joined !== undefined) joined = question.joined;
  process.send?.({ cpuUs: cpuUs(), tokens });
});
process.on("disconnect", () => process.exit());
