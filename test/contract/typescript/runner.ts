// Runs the golden corpus: runner.ts CORPUS_FOLDER TARGETS_FILE [PART_OF_A_NAME]. ../corpus/README.md says what it all means.
import { readFileSync } from "node:fs";
import { type DescMessage, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { fill, type Json, mismatch, type Saved, valuesAt } from "./match.ts";
import { stubs as registry } from "./stubs.ts";

// biome-ignore lint/suspicious/noExplicitAny: foreign data of nine kinds, whose mistakes are failures of the case
type Step = any;
/** A message that came: its bytes, and its JSON, which is made when it is asked for. */
type Came = { bytes: Buffer; message: () => Json };
/** What the steps of a case share: what they saved, their open calls, and the connection to a target. */
type Run = { saved: Saved; calls: Map<string, OpenCall>; client: (target: string) => Client };

const [VERSION, PATIENCE_MS, AGAIN_MS] = [1, 20_000, 50];

const STEPS: Readonly<Record<string, (run: Run, step: Step) => Promise<void> | void>> = {
  call: runCall,
  open: (run, step) => void run.calls.set(step.as, new OpenCall(run.client(step.target), step)),
  send(run, { to, times = 1, ...step }) {
    for (let sent = 0; sent < times; sent++) callOf(run, to).stream.write(step);
  },
  finish: (run, { to }) => void callOf(run, to).stream.end(),
  receive: runReceive,
  cancel: (run, { from }) => callOf(run, from).stream.cancel(),
  end: runEnd,
  sleep: (_, { ms }) => sleep(ms),
  codec: runCodec,
};

async function runCall(run: Run, step: Step): Promise<void> {
  const { withinMs = 0, expect, error = { code: 0 }, contains = "" } = step;
  const { path, write, read, metadata, options } = prepare(step);
  for (const until = performance.now() + withinMs; ; await sleep(AGAIN_MS)) {
    const { ending, came } = await new Promise<{ ending: Json; came: Came | undefined }>((resolve) => {
      run.client(step.target).makeUnaryRequest(path, write, read, step, metadata, options, (failed, came) => {
        resolve({ came, ending: endingOf(failed) });
      });
    });
    const isThere = !came || came.bytes.includes(Buffer.from(contains, "base64"));
    const found =
      mismatch(error, ending, run.saved) ??
      (came && expect && mismatch(expect, came.message(), run.saved)) ??
      (isThere ? undefined : `the bytes ${contains} are not in the answer`);
    if (found === undefined) return;
    if (performance.now() >= until) fail(`${found}; the call ended with ${JSON.stringify(ending)}`);
  }
}

async function runReceive(run: Run, { from, until, count = Infinity, expect = {} }: Step): Promise<void> {
  const messages: Json[] = [];
  while (messages.length < count) {
    const { ending, message = null } = await callOf(run, from).next();
    if (ending) fail(`the call ended after ${messages.length} messages: ${JSON.stringify(ending)}`);
    messages.push(message);
    if (until !== undefined && mismatch(until, message, run.saved) === undefined) break;
  }
  checkMessages(run, expect, messages);
}

async function runEnd(run: Run, { from, error = { code: 0 }, expect = {} }: Step): Promise<void> {
  const call = callOf(run, from);
  let ending: Json | undefined;
  while (ending === undefined) ({ ending } = await call.next());
  const found = mismatch(error, ending, run.saved);
  if (found !== undefined) fail(`the end: ${found}`);
  checkMessages(run, expect, call.messages);
}

function checkMessages({ saved }: Run, expect: Step, messages: Json[]): void {
  const check = (what: string, pattern: Json | undefined, value: Json | undefined) => {
    const found = pattern === undefined ? undefined : mismatch(pattern, value, saved);
    if (found !== undefined) fail(`${what}: ${found}`);
  };
  const whole = { messages, first: messages[0], last: messages.at(-1), count: messages.length };
  for (const [what, value] of Object.entries(whole)) check(what, expect[what], value);
  for (const message of messages) check("each", expect.each, message);
  for (const pattern of expect.some ?? []) check("some", { $some: pattern }, messages);
  for (const at in expect.joined) check(`joined ${at}`, expect.joined[at], valuesAt(messages, at).join(""));
  for (const at in expect.gathered) check(`gathered ${at}`, expect.gathered[at], valuesAt(messages, at));
}

/** Bytes, their message and its JSON are one and the same, whichever of them one begins with. */
function runCodec({ saved }: Run, { type: name, wire, json, sameBytes = false }: Step): void {
  const type = messageOf(name);
  const check = (what: string, bytes: Uint8Array) => {
    const found = mismatch({ $equal: json }, print(type, bytes), saved);
    if (found !== undefined) fail(`${what}: ${found}`);
    const written = Buffer.from(bytes).toString("base64");
    if (sameBytes && wire !== written) fail(`${what}: expected the bytes ${wire}, got ${written}`);
  };
  check("read", Buffer.from(wire, "base64"));
  check("written again", toBinary(type, fromBinary(type, Buffer.from(wire, "base64"))));
  check("written from JSON", toBinary(type, fromJson(type, json, { registry })));
}

/** A call with many answers. Nothing is read of it before a step wants a message. */
class OpenCall {
  readonly messages: Json[] = [];
  readonly stream: ClientDuplexStream<Step, Came>;
  #ending: Json | undefined;

  constructor(client: Client, step: Step) {
    const { path, write, read, metadata, options, kind } = prepare(step);
    this.stream =
      kind === "bidi_streaming"
        ? client.makeBidiStreamRequest<Step, Came>(path, write, read, metadata, options)
        : (client.makeServerStreamRequest(path, write, read, step, metadata, options) as typeof this.stream);
    this.stream.on("error", (error: ServiceError) => (this.#ending = endingOf(error)));
    this.stream.on("end", () => (this.#ending ??= endingOf(null)));
  }

  /** The next message, or how the call ended. */
  async next(): Promise<{ message?: Json; ending?: Json }> {
    for (const late = performance.now() + PATIENCE_MS; performance.now() < late; await this.#news()) {
      const message = (this.stream.read() as Came | null)?.message();
      if (message !== undefined) this.messages.push(message);
      if (message !== undefined) return { message };
      if (this.#ending !== undefined) return { ending: this.#ending };
    }
    return fail(`nothing came for ${PATIENCE_MS} ms, after ${this.messages.length} messages`);
  }

  async #news(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.stream.once("readable", resolve);
    await Promise.race([promise, sleep(AGAIN_MS)]);
    this.stream.off("readable", resolve);
  }
}

function prepare({ method: name, metadata: headers = {}, deadlineMs }: Step) {
  const [service = "", called] = String(name).split("/");
  const method = registry.getService(service)?.methods.find((each) => each.name === called);
  const { input, output, methodKind: kind } = method ?? fail(`the stubs have no method ${name}`);
  const metadata = new Metadata();
  for (const [header, value] of Object.entries(headers)) metadata.add(header, String(value));
  const write = ({ request = {}, append = "" }: Step) =>
    Buffer.concat([toBinary(input, fromJson(input, request, { registry })), Buffer.from(append, "base64")]);
  const read = (bytes: Buffer): Came => {
    const came = fromBinary(output, bytes);
    return { bytes, message: () => toJson(output, came, { registry }) as Json };
  };
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  return { path: `/${name}`, write, read, metadata, options, kind };
}

/** How a call ended: code, sentence, and the ErrorDetail that Stator puts into its status. */
function endingOf(error: ServiceError | null): Json {
  const { code = 0, details: message = "", metadata } = error ?? {};
  const [trailer] = metadata?.get("grpc-status-details-bin") ?? [];
  if (!Buffer.isBuffer(trailer)) return { code, message };
  const { details } = fromBinary(messageOf("google.rpc.Status"), trailer) as unknown as { details: Any[] };
  const detail = details.find(({ typeUrl }) => typeUrl.endsWith("/stator.common.v1.ErrorDetail"));
  return { code, message, ...(detail && { detail: print(messageOf("stator.common.v1.ErrorDetail"), detail.value) }) };
}

/** Bytes as proto JSON, without fields that have their default. */
function print(type: DescMessage, bytes: Uint8Array): Json {
  return toJson(type, fromBinary(type, bytes), { registry }) as Json;
}

const messageOf = (name: string) => registry.getMessage(name) ?? fail(`the stubs have no message ${name}`);

const callOf = ({ calls }: Run, name: string) => calls.get(name) ?? fail(`the case has no open call ${name}`);

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

function fail(sentence: string): never {
  throw new Error(sentence);
}

/** Why a case fails; undefined when it passes. */
async function runCase(steps: readonly Step[], client: Run["client"]): Promise<string | undefined> {
  const run: Run = { client, calls: new Map(), saved: new Map() };
  let at = 0;
  try {
    for (const step of steps) {
      at++;
      await (STEPS[step.step] ?? fail("the runner does not know this kind of step"))(run, fill(step, run.saved));
    }
    return undefined;
  } catch (error) {
    return `step ${at}, ${steps[at - 1].step}: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    for (const call of run.calls.values()) call.stream.cancel();
  }
}

async function main([folder = "", targetsFile = "", part = ""]: readonly string[]): Promise<number> {
  const read = (file: string) => JSON.parse(readFileSync(file, "utf8"));
  const { version, receiveLimitBytes, files } = read(`${folder}/corpus.json`);
  if (version !== VERSION) fail(`the corpus is of version ${version}; this runner knows ${VERSION}`);
  const options = { "grpc.max_receive_message_length": receiveLimitBytes };
  const open = (address: string) => new Client(address, credentials.createInsecure(), options);
  const targets = Object.entries<string>(read(targetsFile)).map(([name, address]) => [name, open(address)] as const);
  const clients = new Map<string, Client>(targets);
  const summary = { passed: 0, failed: [] as Json[], skipped: [] as Json[] };
  for (const { name, steps } of files.flatMap((file: string) => read(`${folder}/${file}`).cases)) {
    if (!name.includes(part)) continue;
    const missing = steps.map(({ target }: Step) => target).find((target: string) => target && !clients.has(target));
    const reason = missing ? `there is no target ${missing}` : await runCase(steps, (target) => clients.get(target)!);
    if (reason === undefined) summary.passed++;
    else summary[missing ? "skipped" : "failed"].push({ name, reason });
    process.stdout.write(`${reason === undefined ? "ok" : missing ? "skip" : "FAIL"} ${name} ${reason ?? ""}\n`);
  }
  for (const client of clients.values()) client.close();
  process.stdout.write(`${JSON.stringify(summary)}\n`);
  return summary.failed.length === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
