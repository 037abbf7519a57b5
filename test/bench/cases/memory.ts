// Memory of the frontend process of `stator up`: idle, and after 50,000 requests with different prompts.
//   node test/bench/cases/memory.ts [NAME_PART] [REQUESTS] [SNAPSHOT_FILE]
import { createWriteStream } from "node:fs";
import { HttpCaller, residentMbOf, startCluster } from "../cluster.ts";
import { printFigures, sleep } from "../harness.ts";
import { INSPECTABLE, Inspector, type KeptBytes } from "../inspector.ts";

const SOCKETS = 64;
const EARLY_REQUESTS = 1_000;
const requests = Number(process.argv[3] ?? 50_000);
const snapshotFile = process.argv[4];
const MOCK = ["--engine", "mock", "--workers", "2", "--mock-speed", "0", "--mock-step-tokens", "8"];

/** About 200 tokens that no other request has, so that every cache fills; every second one is streamed. */
function bodyOf(at: number): object {
  const words = Array.from({ length: 45 }, (_, word) => `w${((at + 1) * 2_654_435_761 + word * 40_503) % 99_991}`);
  return {
    model: "stator-mock",
    messages: [
      { role: "system", content: `You are assistant ${at}.` },
      { role: "user", content: words.join(" ") },
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
  const cluster = await startCluster(MOCK, INSPECTABLE);
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
      residentTarget: 225,
      peakMb: resident.peak,
      growth: sum(late) / sum(early),
      growthTarget: 1.2,
      early: megabytes(early),
      late: megabytes(late),
    };
  } finally {
    await cluster.program.close();
  }
}

async function idle(): Promise<object> {
  const cluster = await startCluster(MOCK);
  try {
    await sleep(2_000);
    const fresh = residentMbOf(cluster.frontendPid).now;
    return { residentMb: fresh, residentTarget: 150 };
  } finally {
    await cluster.program.close();
  }
}

const CASES: Readonly<Record<string, () => Promise<object>>> = {
  "memory/idle": idle,
  "memory/50k-requests": manyRequests,
};

for (const [name, run] of Object.entries(CASES)) {
  if (!process.argv[2] || name.includes(process.argv[2])) printFigures(name, await run());
}
