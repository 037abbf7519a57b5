// Memory of the frontend: idle, after 50,000 requests with different prompts, and what it gives back after load.
//   node test/bench/cases/memory.ts [NAME_PART] [REQUESTS] [SNAPSHOT_FILE]
import { createWriteStream } from "node:fs";
import { vocabularyFile } from "../cache.ts";
import { type Cluster, HttpCaller, residentMbOf, type StartedBy, startByHand, startCluster } from "../cluster.ts";
import { medianFigures, runCases, sleep, startsOf, volume } from "../harness.ts";
import { INSPECTABLE, Inspector, type KeptBytes } from "../inspector.ts";
import { TextWriter } from "../text.ts";
import type { VocabularyName } from "../vocabulary.ts";

const SOCKETS = 64;
const EARLY_REQUESTS = volume(1_000, 200);
const requests = Number(process.argv[3] ?? volume(50_000, 600));
const snapshotFile = process.argv[4];
const MODEL = "bench";

function mock(vocabulary: VocabularyName): string[] {
  const model = ["--model", vocabularyFile(vocabulary), "--model-name", MODEL];
  return ["--engine", "mock", ...model, "--mock-speed", "0", "--mock-step-tokens", "8"];
}

function open(by: StartedBy, vocabulary: VocabularyName, env: Record<string, string> = {}): Promise<Cluster> {
  return by === "hand" ? startByHand(mock(vocabulary)) : startCluster([...mock(vocabulary), "--workers", "2"], env);
}

const writer = new TextWriter(1);

/** About 200 tokens that no other request has, so that every cache fills; every second one is streamed. */
function bodyOf(at: number): object {
  return {
    model: MODEL,
    messages: [
      { role: "system", content: `You are assistant ${at}.` },
      { role: "user", content: writer.words(45) },
    ],
    max_tokens: 16,
    stream: at % 2 === 1,
    stop: ["\n\nUser:", "</s>"],
  };
}

async function ask(caller: HttpCaller, first: number, last: number): Promise<void> {
  let next = first;
  const connection = async (): Promise<void> => {
    while (next < last) await caller.post("/v1/chat/completions", bodyOf(next++));
  };
  await Promise.all(Array.from({ length: SOCKETS }, connection));
}

/** Writes what the process holds, to be opened with the developer tools of a browser. */
async function writeSnapshot(inspector: Inspector, file: string): Promise<void> {
  const out = createWriteStream(file);
  await inspector.call("HeapProfiler.takeHeapSnapshot", {}, ({ method, params }) => {
    if (method === "HeapProfiler.addHeapSnapshotChunk") out.write((params as { chunk: string }).chunk);
  });
  await new Promise((resolve) => {
    out.end(resolve);
  });
}

const sum = ({ heap, external }: KeptBytes): number => heap + external;
const megabytes = ({ heap, external }: KeptBytes) => ({ heap: heap / 1e6, external: external / 1e6 });

async function manyRequests(): Promise<object> {
  const cluster = await open("up", "32k", INSPECTABLE);
  try {
    const { program, frontendPid } = cluster;
    const caller = new HttpCaller(cluster.port, SOCKETS);
    await ask(caller, 0, EARLY_REQUESTS);
    const inspector = await Inspector.open(program, frontendPid);
    const early = await inspector.keptBytes();
    if (snapshotFile) await writeSnapshot(inspector, `${snapshotFile}.early.heapsnapshot`);
    await ask(caller, EARLY_REQUESTS, requests);
    // Resident memory is read before anything is collected by force: that is what an operator sees.
    const resident = residentMbOf(frontendPid);
    const late = await inspector.keptBytes();
    if (snapshotFile) await writeSnapshot(inspector, `${snapshotFile}.late.heapsnapshot`);
    inspector.close();
    caller.close();
    return {
      residentMb: resident.now,
      peakMb: resident.peak,
      growth: sum(late) / sum(early),
      early: megabytes(early),
      late: megabytes(late),
    };
  } finally {
    await cluster.close();
  }
}

/** What a frontend takes that was started and has answered nobody. */
async function idleMb(by: StartedBy, vocabulary: VocabularyName): Promise<number> {
  const cluster = await open(by, vocabulary);
  try {
    await sleep(volume(5_000, 1_000));
    return residentMbOf(cluster.frontendPid).now;
  } finally {
    await cluster.close();
  }
}

async function idle(vocabulary: VocabularyName): Promise<object> {
  const starts = [];
  for (let start = 0; start < startsOf(3); start++) {
    starts.push({ upMb: await idleMb("up", vocabulary), handMb: await idleMb("hand", vocabulary) });
  }
  return medianFigures(starts);
}

/** What a frontend is put under before it is left alone: many requests, and bodies as long as it takes. */
const LOAD = { requests: volume(6_000, 300), bodies: volume(4, 1), bodyBytes: volume(8_000_000, 400_000) } as const;
/** How long it has to give memory back. */
const RETURN_MS = volume(30_000, 3_000);
const MOST_RATIO = 1.5;

/** Bodies that are refused in the end, because no context holds them; until then they are read, checked and tokenized. */
async function askTooMuch(caller: HttpCaller): Promise<void> {
  const text = writer.words(1_000);
  const content = text.repeat(Math.floor(LOAD.bodyBytes / Buffer.byteLength(text)));
  const body = { model: MODEL, messages: [{ role: "user", content }] };
  const all = Array.from({ length: LOAD.bodies }, () => caller.post("/v1/chat/completions", body));
  for (const answer of await Promise.allSettled(all)) {
    if (answer.status === "fulfilled") throw new Error("A prompt beyond every context was answered");
  }
}

/** Resident memory idle, at its most, and as soon as it is at most 1.5 times idle again, or when 30 s are over. */
async function returnsOnce(by: StartedBy): Promise<Readonly<Record<string, number>>> {
  const cluster = await open(by, "32k");
  try {
    await sleep(volume(5_000, 1_000));
    const idleAtFirst = residentMbOf(cluster.frontendPid).now;
    const caller = new HttpCaller(cluster.port, SOCKETS);
    await ask(caller, 0, LOAD.requests);
    await askTooMuch(caller);
    caller.close();
    const { now: loadedMb, peak: peakMb } = residentMbOf(cluster.frontendPid);
    const startMs = performance.now();
    let afterMb = loadedMb;
    while (afterMb > MOST_RATIO * idleAtFirst && performance.now() - startMs < RETURN_MS) {
      await sleep(250);
      afterMb = residentMbOf(cluster.frontendPid).now;
    }
    const seconds = (performance.now() - startMs) / 1_000;
    return { idleMb: idleAtFirst, loadedMb, peakMb, afterMb, ratio: afterMb / idleAtFirst, seconds };
  } finally {
    await cluster.close();
  }
}

async function returns(by: StartedBy): Promise<object> {
  const starts = [];
  for (let start = 0; start < startsOf(3); start++) starts.push(await returnsOnce(by));
  return medianFigures(starts);
}

await runCases({
  "memory/idle/2k-vocabulary": () => idle("2k"),
  "memory/idle/32k-vocabulary": () => idle("32k"),
  "memory/idle/128k-vocabulary": () => idle("128k"),
  "memory/after-load/up": () => returns("up"),
  "memory/after-load/by-hand": () => returns("hand"),
  "memory/50k-requests": manyRequests,
});
