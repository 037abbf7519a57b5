import { OpenAI } from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { llamaUnavailable } from "#services/cli/compose/engine-choice";
import { type Program, readBoard, startProgram } from "../support/program.ts";

const STREAMS = 50;
let cluster: Program | undefined;

afterEach(async () => {
  await cluster?.close();
  cluster = undefined;
});

async function start(args: string[]) {
  const workers = args.includes("--workers") ? [] : ["--workers", "2"];
  cluster = startProgram(["up", "--http-port", "0", ...workers, ...args]);
  await cluster.until(/Try it:/, 120_000);
  const board = readBoard(cluster);
  const client = new OpenAI({ baseURL: `http://${board.get("frontend")!.address}/v1`, apiKey: "none", maxRetries: 0 });
  const models = await client.models.list();
  return { program: cluster, board, client, model: models.data[0]!.id };
}

interface Cluster extends Awaited<ReturnType<typeof start>> {}

/** Streams one answer; tells after how many pieces it is. */
async function stream({ client, model }: Cluster, content: string, onPiece: (pieces: number) => void): Promise<string> {
  const messages = [{ role: "user" as const, content }];
  const chunks = await client.chat.completions.create({
    model,
    messages,
    stream: true,
    max_tokens: 100,
    temperature: 0,
  });
  let text = "";
  let pieces = 0;
  let finish: string | null | undefined;
  for await (const chunk of chunks) {
    text += chunk.choices[0]?.delta.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    onPiece(++pieces);
  }
  expect(finish, "an answer that ended says why").toMatch(/^(stop|length)$/);
  return text;
}

/** Runs the prompts undisturbed, then again with a fault once every stream has begun, and returns both sets of answers. */
async function disturbed(
  running: Cluster,
  prompts: readonly string[],
  fault: () => void,
): Promise<[string[], string[]]> {
  const undisturbed = await Promise.all(prompts.map((prompt) => stream(running, prompt, () => {})));
  let begun = 0;
  let faulted = false;
  const onPiece = (pieces: number): void => {
    if (pieces === 2) begun++;
    if (begun < prompts.length / 2 || faulted) return;
    faulted = true;
    fault();
  };
  const answers = await Promise.all(prompts.map((prompt) => stream(running, prompt, onPiece)));
  expect(faulted, "the fault came while streams ran").toBe(true);
  return [undisturbed, answers];
}

async function openRequests(running: Cluster): Promise<number> {
  const address = running.board.get("frontend")!.address;
  const text = await (await fetch(`http://${address}/metrics`)).text();
  return Number(/^stator_dispatch_open_requests (\d+)/m.exec(text)?.[1] ?? Number.NaN);
}

const storyPrompts = Array.from({ length: STREAMS }, (_, at) => `Tell me a long story number ${at} about a duck.`);

describe("a worker that fails under 50 streams (mock)", () => {
  it("is killed: every client gets its complete, undisturbed answer", async () => {
    const running = await start(["--engine", "mock", "--mock-speed", "2"]);
    const { pid } = running.board.get("worker-1")!;
    const [undisturbed, answers] = await disturbed(running, storyPrompts, () => process.kill(pid, "SIGKILL"));
    expect(answers).toEqual(undisturbed);
    expect(await openRequests(running)).toBe(0);
  });

  it("is frozen: every client gets its complete, undisturbed answer, and the worker comes back", async () => {
    const running = await start(["--engine", "mock", "--mock-speed", "2"]);
    const { pid } = running.board.get("worker-1")!;
    try {
      const [undisturbed, answers] = await disturbed(running, storyPrompts, () => process.kill(pid, "SIGSTOP"));
      expect(answers).toEqual(undisturbed);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    expect(await openRequests(running)).toBe(0);
    await expect.poll(() => workersThatAnswer(running, 12), { timeout: 60_000, interval: 1000 }).toBe(2);
  });
});

describe("a stream that is pinned (mock)", () => {
  it("hears that its worker was killed, as a fault of the server", async () => {
    const { program, board } = await start(["--engine", "mock", "--workers", "1", "--mock-speed", "0.2"]);
    const url = `http://${board.get("frontend")!.address}/v1/completions`;
    const post = (more: object, headers = {}) => {
      const body = JSON.stringify({ model: "stator-mock", prompt: "One", ...more });
      return fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
    };
    const worker = (await post({ max_tokens: 1 })).headers.get("x-stator-worker")!;
    const answer = await post({ max_tokens: 2_000, stream: true }, { "x-stator-worker": worker });
    process.kill(board.get("worker-1")!.pid, "SIGKILL");
    expect(await answer.text()).toContain('"code":"stream_lost"');
    // Unpinned ones do not even notice: the worker is started again.
    expect((await post({ max_tokens: 4 })).status).toBe(200);
    expect(program.stderr).not.toMatch(/^\s+at /m);
  });
});

/** Greedy paths with margin: an answer does not depend on what else is in its batch. */
const FACTS = [
  "What is the capital of Japan?",
  "What is disaggregated serving?",
  "What is Stator?",
  "Explain quantum chromodynamics please",
];

const missing = llamaUnavailable()?.detail;

describe.skipIf(missing !== undefined)(`a worker that fails under 50 streams (llama, ${missing ?? "built"})`, () => {
  const factPrompts = Array.from({ length: STREAMS }, (_, at) => FACTS[at % FACTS.length]!);

  it.each(["SIGKILL", "SIGSTOP"] as const)(
    "gets %s: every client gets its complete, undisturbed answer",
    async (signal) => {
      const running = await start(["--engine", "llama"]);
      const { pid } = running.board.get("worker-1")!;
      const [undisturbed, answers] = await disturbed(running, factPrompts, () => process.kill(pid, signal));
      if (signal === "SIGSTOP") process.kill(pid, "SIGCONT");
      expect(answers).toEqual(undisturbed);
      expect(new Set(answers)).toEqual(new Set(undisturbed.slice(0, FACTS.length)));
      expect(await openRequests(running)).toBe(0);
    },
  );
});

async function workersThatAnswer({ board, model }: Cluster, requests: number): Promise<number> {
  const url = `http://${board.get("frontend")!.address}/v1/chat/completions`;
  const seen = new Set<string | null>();
  for (let at = 0; at < requests; at++) {
    const body = JSON.stringify({ model, messages: [{ role: "user", content: `Hello ${at}` }], max_tokens: 2 });
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    await response.arrayBuffer();
    seen.add(response.headers.get("x-stator-worker"));
  }
  return seen.size;
}
