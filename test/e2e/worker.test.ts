import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "#gen/grpc/health/v1/health_pb";
import { HealthState } from "#gen/openengine/v1/lifecycle_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { OpenEngineCaller } from "../conformance/openengine-rig.ts";
import { Cluster, readMetric } from "../support/cluster.ts";
import { freePort } from "../support/free-port.ts";
import { Load } from "../support/load.ts";
import { observe } from "../support/observer.ts";

const cluster = new Cluster();
const closes: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close();
  await cluster.close();
});

async function statusOf(url: string): Promise<number> {
  try {
    return (await fetch(url)).status;
  } catch {
    return 0;
  }
}

function openTo(address: string): Channel {
  const channel = new Channel(address, loopbackCredentials, systemClock);
  closes.push(() => channel.close());
  return channel;
}

/** What gRPC health says of the whole server and of one service. */
async function serving(address: string): Promise<string[]> {
  const client = createClient(Health, openTo(address));
  const answers = await Promise.all(["", Inference.typeName].map((service) => client.check({ service })));
  const names = { [ServingStatus.SERVING]: "SERVING", [ServingStatus.NOT_SERVING]: "NOT_SERVING" } as const;
  return answers.map(({ status }) => (status in names ? names[status as keyof typeof names] : String(status)));
}

describe("the ports of a worker", () => {
  it("say that it is ready, then that it is not, while it finishes what it has", async () => {
    const port = await freePort();
    const { address, program } = await cluster.worker("--metrics-port", String(port));
    const url = `http://127.0.0.1:${port}`;
    expect(await statusOf(`${url}/live`)).toBe(200);
    expect(await statusOf(`${url}/ready`)).toBe(200);
    expect(await serving(address)).toEqual(["SERVING", "SERVING"]);
    const caller = new OpenEngineCaller(openTo(address));
    const ask = { input: { case: "prompt", value: "What is a fox?" } } as const;
    const stream = caller.start({ ...ask, stopping: { maxTokens: 150, ignoreEos: true } });
    await stream.begun;
    program.signal("SIGTERM");
    await expect.poll(() => statusOf(`${url}/ready`)).toBe(503);
    expect((await caller.control.health({})).state).toBe(HealthState.DRAINING);
    expect(await serving(address)).toEqual(["NOT_SERVING", "NOT_SERVING"]);
    const late = await caller.ask(ask);
    expect(late).toMatchObject({ code: 14, messages: [] });
    const text = await (await fetch(`${url}/metrics`)).text();
    expect(readMetric(text, "stator_worker_state", 'state="draining"')).toBe(1);
    expect(readMetric(text, "stator_worker_open_requests")).toBe(1);
    expect(readMetric(text, "vllm:num_requests_running")).toBe(1);
    expect((await stream.done).outputs[0]!.tokens).toHaveLength(150);
    expect(await program.ended).toEqual({ code: 0, signal: null });
    expect(await statusOf(`${url}/ready`)).toBe(0);
    expect(cluster.complaints).toEqual([]);
  });

  it("end what is left at the deadline of a drain with one error and OK", async () => {
    const { address, program } = await cluster.worker("--drain-ms", "300");
    const caller = new OpenEngineCaller(openTo(address));
    const long = {
      input: { case: "prompt", value: "What is a fox?" },
      stopping: { maxTokens: 20_000, ignoreEos: true },
    } as const;
    const streams = [caller.start(long), caller.start(long)];
    await Promise.all(streams.map(({ begun }) => begun));
    program.signal("SIGTERM");
    for (const { done } of streams) {
      const { code, error } = await done;
      expect({ code, error: error?.message }).toEqual({ code: 0, error: expect.stringContaining("shutting down") });
      expect(error?.retryable).toBe(true);
    }
    expect(await program.ended).toEqual({ code: 0, signal: null });
  });
});

describe("a worker whose model is not there yet", () => {
  const folder = mkdtempSync(join(tmpdir(), "stator-worker-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** A worker that loads for as long as the test wants: its model is a pipe that nobody writes to. */
  async function loading(name: string) {
    const pipe = join(folder, name);
    execFileSync("mkfifo", [pipe]);
    const hub = await cluster.hub();
    const [grpc, metrics] = [await freePort(), await freePort()];
    const ports = ["--grpc-port", String(grpc), "--metrics-port", String(metrics)];
    const url = `hub://${hub.address}`;
    const program = cluster.start(["worker", "--engine", "mock", "--model", pipe, "--discovery", url, ...ports]);
    const observer = await observe(url);
    closes.push(() => observer.close());
    const states = () => [...observer.workers().values()].map(({ state }) => state);
    await expect.poll(states, { timeout: 20_000 }).toEqual([InstanceState.LOADING]);
    // Whoever waits to read goes on when the pipe has had a writer; this one waits for nobody.
    const release = () => closeSync(openSync(pipe, "r+"));
    return { program, release, states, address: `127.0.0.1:${grpc}`, url: `http://127.0.0.1:${metrics}` };
  }

  it("says that it is loading, and what became of it", async () => {
    const { program, release, states, address, url } = await loading("broken");
    expect(await statusOf(`${url}/live`)).toBe(200);
    expect(await statusOf(`${url}/ready`)).toBe(503);
    expect(await serving(address)).toEqual(["NOT_SERVING", "NOT_SERVING"]);
    const control = createClient(Control, openTo(address));
    expect((await control.health({})).state).toBe(HealthState.STARTING);
    await expect(control.getServerInfo({})).rejects.toMatchObject({ reason: "MODEL_LOADING" });
    release();
    expect((await program.ended).code).toBe(1);
    expect(program.stderr).toContain("cannot be used as a model");
    await expect.poll(states).toEqual([]);
  });

  it("obeys SIGTERM", async () => {
    const { program, release, states } = await loading("stopped");
    program.signal("SIGTERM");
    await expect.poll(states, { timeout: 20_000 }).toEqual([]);
    release();
    expect(await program.ended).toEqual({ code: 0, signal: null });
    expect(program.stderr).not.toContain("cannot be used");
  });
});

describe("a worker that stands still under load", () => {
  const STREAMS = 12;

  /** A hub, two workers and a frontend; tells which instance the first worker is. */
  async function start(leaseMs: number) {
    const hub = await cluster.hub();
    const discovery = ["--discovery", `hub://${hub.address}`];
    const joinArgs = [...discovery, "--lease-ms", String(leaseMs)];
    const first = await cluster.worker(...joinArgs);
    const observer = await observe(`hub://${hub.address}`);
    closes.push(() => observer.close());
    const [id] = [...observer.workers().keys()];
    const before = observer.workers().get(id!)!.incarnation;
    await cluster.worker(...joinArgs);
    const frontend = await cluster.frontend(...discovery);
    const load = await Load.start(frontend.address, { streams: STREAMS, maxTokens: 120 });
    closes.push(async () => void (await load.stop()));
    await load.more(STREAMS);
    const metric = async (name: string, labels?: string) => {
      const text = await (await fetch(`http://${frontend.address}/metrics`)).text();
      return readMetric(text, name, labels);
    };
    const instance = () => observer.workers().get(id!);
    return { program: first.program, load, instance, before, metric };
  }

  /** All answers were complete and equal, and both workers answer. */
  async function isWell({ load, metric }: Awaited<ReturnType<typeof start>>): Promise<void> {
    load.forgetWorkers();
    await expect.poll(() => load.workers.size, { timeout: 30_000 }).toBe(2);
    expect(await load.stop()).toMatchObject({ failures: [], refusals: new Map() });
    expect(await metric("stator_dispatch_open_requests")).toBe(0);
    expect(cluster.complaints).toEqual([]);
  }

  it("says late what nobody waits for: that is dropped and counted, and it returns after a canary", async () => {
    const running = await start(60_000);
    const { program, load, instance, before, metric } = running;
    program.signal("SIGSTOP");
    await expect.poll(() => metric("stator_dispatch_suspicions_total"), { timeout: 20_000 }).toBe(1);
    await load.more(2 * STREAMS);
    expect(await metric("stator_dispatch_migrations_total")).toBeGreaterThan(0);
    program.signal("SIGCONT");
    const passed = () => metric("stator_dispatch_canaries_total", 'result="passed"');
    await expect.poll(passed, { timeout: 20_000 }).toBe(1);
    await isWell(running);
    expect(await metric("stator_dispatch_dropped_frames_total")).toBeGreaterThan(0);
    expect(instance()?.incarnation).toBe(before);
  });

  it("comes back as another incarnation when its lease lapsed meanwhile", async () => {
    const running = await start(2000);
    const { program, load, instance, before } = running;
    program.signal("SIGSTOP");
    await expect.poll(instance, { timeout: 20_000 }).toBeUndefined();
    await load.more(2 * STREAMS);
    program.signal("SIGCONT");
    await expect.poll(() => instance()?.state, { timeout: 20_000 }).toBe(InstanceState.READY);
    expect(instance()!.incarnation).not.toBe(before);
    await isWell(running);
  });
});
