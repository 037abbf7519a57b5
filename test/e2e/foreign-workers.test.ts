import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Cluster, type Serving } from "../support/cluster.ts";
import { type ForeignWorker, startForeignWorker, templateFolder } from "../support/foreign-worker.ts";
import { type BuiltStubs, makeStubs, STUBS_MISSING } from "../support/stub-packages.ts";

/** Ways in which a frontend reaches a worker that is not ours, and the program of the template that has each. */
const WAYS = [
  { way: "the link", program: "link_worker.py" },
  { way: "openengine.v1", program: "worker.py" },
] as const;

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-foreign-workers-"));
const cluster = new Cluster();
const workers: ForeignWorker[] = [];
let stubs: BuiltStubs;

beforeAll(async () => {
  if (STUBS_MISSING.python === "") stubs = await makeStubs("python", path.join(folder, "stubs"));
}, 600_000);
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.close();
  await cluster.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function start(program: string, hub: Serving, ...args: string[]): Promise<ForeignWorker> {
  const file = path.join(templateFolder("python"), program);
  const worker = await startForeignWorker(["python3", file, "--hub", hub.address, ...args], stubs.env);
  workers.push(worker);
  return worker;
}

interface Listed {
  readonly data: readonly { readonly id: string }[];
}

const ask = (base: string, body: object) =>
  fetch(`${base}/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ temperature: 0, ...body }),
  });

async function complete(base: string, body: object): Promise<string> {
  const response = await ask(base, body);
  const said = (await response.json()) as { choices?: { text: string }[] };
  expect(response.status, JSON.stringify(said)).toBe(200);
  return said.choices?.[0]?.text ?? "";
}

/** A stream of one answer; its text so far and all of it. */
function stream(base: string, body: object) {
  let text = "";
  const run = async (): Promise<string> => {
    const response = await ask(base, { stream: true, ...body });
    let rest = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n\n");
      rest = lines.pop()!;
      for (const line of lines.filter((each) => each.startsWith("data: {"))) {
        const event = JSON.parse(line.slice(6)) as { choices?: { text: string }[]; error?: unknown };
        expect(event.error).toBeUndefined();
        text += event.choices?.[0]?.text ?? "";
      }
    }
    return text;
  };
  const whole = run();
  whole.catch(() => {});
  return { whole, soFar: () => text };
}

describe.skipIf(STUBS_MISSING.python !== "")(`workers in Python ${STUBS_MISSING.python}`, { timeout: 180_000 }, () => {
  it.each(WAYS)("answer in text over $way, and drain when they are told to end", async ({ program }) => {
    const hub = await cluster.hub();
    const { address } = await cluster.frontend("--discovery", `hub://${hub.address}`);
    const base = `http://${address}/v1`;
    const worker = await start(program, hub, "--model", "mine");
    await untilListed(base, "mine");
    const text = await complete(base, { model: "mine", prompt: "Once upon a time", max_tokens: 20 });
    expect(text).toHaveLength(20);
    const running = stream(base, { model: "mine", prompt: "Once upon a time", max_tokens: 300 });
    await expect.poll(running.soFar).not.toBe("");
    worker.signal("SIGTERM");
    expect(await running.whole).toHaveLength(300);
    expect((await running.whole).startsWith(text)).toBe(true);
    expect(await worker.ended).toEqual({ code: 0, signal: null });
    expect((await ask(base, { model: "mine", prompt: "Once", max_tokens: 2 })).status).toBeGreaterThanOrEqual(400);
    expect(cluster.complaints).toEqual([]);
  });

  it.each(WAYS)(
    "stand beside a worker of ours over $way, and go on where another one was killed",
    async ({ program }) => {
      const hub = await cluster.hub();
      const discovery = ["--discovery", `hub://${hub.address}`];
      const ours = await cluster.worker(...discovery, "--model-name", "demo");
      const beside = ["--model", "demo", "--tokens-of", "demo"];
      const pair = await Promise.all([start(program, hub, ...beside), start(program, hub, ...beside)]);
      for (const { said } of pair) expect(said).not.toContain("Traceback");
      const { address } = await cluster.frontend(...discovery);
      const base = `http://${address}/v1`;
      await untilListed(base, "demo");
      await Promise.all(
        pair.map((worker) => expect.poll(() => worker.said, { timeout: 20_000 }).toContain("is ready")),
      );
      await ours.program.close();
      const body = { model: "demo", prompt: "Once upon a time there was a fox", max_tokens: 600, ignore_eos: true };
      const alone = await complete(base, body);
      const streams = Array.from({ length: 6 }, () => stream(base, body));
      await Promise.all(streams.map(({ soFar }) => expect.poll(soFar).not.toBe("")));
      await pair[0]!.close();
      for (const { whole } of streams) expect(await whole).toBe(alone);
      expect(cluster.complaints).toEqual([]);
    },
  );
});

async function untilListed(base: string, name: string): Promise<void> {
  const names = async () => ((await (await fetch(`${base}/models`)).json()) as Listed).data.map(({ id }) => id);
  await expect.poll(names, { timeout: 20_000, interval: 50 }).toContain(name);
}
