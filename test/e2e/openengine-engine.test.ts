import { afterEach, describe, expect, it } from "vitest";
import { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { Cluster, readMetric, type Serving } from "../support/cluster.ts";
import { DEMO_MODEL } from "../support/engine-driver.ts";
import { freePort } from "../support/free-port.ts";
import { IS_LONG } from "../support/seeds.ts";

const cluster = new Cluster();
const channels: Channel[] = [];

afterEach(async () => {
  for (const channel of channels.splice(0)) channel.close();
  await cluster.close();
});

/** Around 12 ms a token: an answer of 200 takes more than two seconds. */
const SPEED = ["--mock-speed", "0.5"];

function controlOf(address: string) {
  const channel = new Channel(address, loopbackCredentials, systemClock);
  channels.push(channel);
  return createClient(Control, channel);
}

async function frontend(hub: Serving): Promise<string> {
  const { address } = await cluster.frontend("--discovery", `hub://${hub.address}`);
  return `http://${address}/v1`;
}

async function untilListed(base: string, name: string): Promise<void> {
  const names = async () =>
    ((await (await fetch(`${base}/models`)).json()) as { data: { id: string }[] }).data.map(({ id }) => id);
  await expect.poll(names, { timeout: 20_000, interval: 50 }).toContain(name);
}

/** A chat as a stream: its text so far, and all of it. */
function chat(base: string, maxTokens: number) {
  const abort = new AbortController();
  let text = "";
  const run = async (): Promise<string> => {
    const response = await fetch(`${base}/chat/completions`, {
      method: "POST",
      signal: abort.signal,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: "stator-mock",
        messages: [{ role: "user", content: "What is a fox?" }],
        stream: true,
        temperature: 0.8,
        seed: 11,
        max_tokens: maxTokens,
        ignore_eos: true,
      }),
    });
    expect(response.status).toBe(200);
    let rest = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split("\n\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (!line.startsWith("data: {")) continue;
        const event = JSON.parse(line.slice(6)) as { choices?: { delta: { content?: string } }[]; error?: unknown };
        expect(event.error).toBeUndefined();
        text += event.choices?.[0]?.delta.content ?? "";
      }
    }
    return text;
  };
  const done = run();
  done.catch(() => {});
  return { done, abort: () => abort.abort(), text: () => text };
}

describe("workers in front of engines that speak openengine.v1", { timeout: 300_000 }, () => {
  it("stream, cancel, and go on elsewhere when an engine is killed; one that comes back serves again", async () => {
    const hub = await cluster.hub();
    const ports = [await freePort(), await freePort()];
    const engine = (port: number) => cluster.worker("--grpc-port", String(port), ...SPEED);
    const engines = await Promise.all(ports.map(engine));
    const front = (port: number) =>
      cluster.worker(
        ...["--engine", "openengine", "--url", `127.0.0.1:${port}`, "--model", DEMO_MODEL],
        ...["--openengine-look-ms", "50", "--discovery", `hub://${hub.address}`],
      );
    const fronts = await Promise.all(ports.map(front));
    const base = await frontend(hub);
    await untilListed(base, "stator-mock");

    const whole = await chat(base, 200).done;
    expect(whole.length).toBeGreaterThan(400);

    const left = chat(base, 20_000);
    await expect.poll(() => left.text().length, { timeout: 20_000 }).toBeGreaterThan(20);
    left.abort();
    const running = async () => {
      const loads = await Promise.all(engines.map(({ address }) => controlOf(address).getLoad({})));
      return loads.map(({ runningRequests }) => runningRequests ?? 0);
    };
    await expect.poll(running, { timeout: 20_000, interval: 50 }).toEqual([0, 0]);

    const streams = Array.from({ length: 4 }, () => chat(base, 200));
    await expect
      .poll(() => streams.every(({ text }) => text().length > 20), { timeout: 20_000, interval: 10 })
      .toBe(true);
    // Whoever has the prompt in its cache may run all of them.
    const [first, second] = (await running()) as [number, number];
    const killed = first >= second ? 0 : 1;
    engines[killed]!.program.signal("SIGKILL");
    expect(await Promise.all(streams.map(({ done }) => done))).toEqual(streams.map(() => whole));
    const metrics = await (await fetch(base.replace("/v1", "/metrics"))).text();
    expect(readMetric(metrics, "stator_dispatch_migrations_total")).toBeGreaterThan(0);

    const health = controlOf(fronts[killed]!.address);
    const state = async () => (await health.health({})).state;
    await expect.poll(state, { timeout: 20_000, interval: 50 }).toBe(HealthState.STARTING);
    await engine(ports[killed]!);
    await expect.poll(state, { timeout: 20_000, interval: 50 }).toBe(HealthState.READY);
    expect(await chat(base, 200).done).toBe(whole);
    expect(cluster.complaints).toEqual([]);
  });

  // The same is tried within one process; here it is by the program.
  if (IS_LONG)
    it("ask in text where nobody gave them the tokenizer", async () => {
      const hub = await cluster.hub();
      const engine = await cluster.worker(...SPEED);
      const url = ["--engine", "openengine", "--url", engine.address];
      await cluster.worker(...url, "--model-name", "far", "--discovery", `hub://${hub.address}`);
      const base = await frontend(hub);
      await untilListed(base, "far");
      const response = await fetch(`${base}/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "far", prompt: "Once upon a time", max_tokens: 12, temperature: 0 }),
      });
      const body = (await response.json()) as { choices: { text: string }[]; usage: { completion_tokens: number } };
      expect(body).toMatchObject({ choices: [{ finish_reason: "length" }], usage: { completion_tokens: 12 } });
      expect(body.choices[0]!.text).toMatch(/^( [a-z]+|\.){12}$/);
    });
});
