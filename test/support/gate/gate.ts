import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { differences, type GateAnswer } from "./answers.ts";
import { type GateAsk, type GateRequest, gateRequests } from "./asks.ts";
import { GateFrontend } from "./gate-frontend.ts";
import { type GateRow, judge } from "./gate-row.ts";
import { type NoiseTally, newNoise, scoreForced } from "./noise.ts";
import type { GateWay, WayWorker } from "./ways.ts";
import { type HostedWorker, WorkerHost } from "./worker-host.ts";
import { type EngineSpec, GATE_MODEL } from "./worker-spec.ts";

/** What is asked, and what has to come. */
export interface GateSubject {
  /** Of every worker: with so little room that blocks are evicted. */
  readonly engine: EngineSpec;
  /** The same with room for all that is asked at once: what comes is there when it is used. */
  readonly roomy: EngineSpec;
  readonly adapters: readonly string[];
  readonly asks: readonly GateAsk[];
  /** The answers of an engine of its own to one after the other. */
  readonly wanted: readonly GateAnswer[];
  /** Any bit that is another one changes the answer, whichever it is. */
  readonly everyBitTells: boolean;
  /** Requests at once. */
  readonly width: number;
  /** Disturbances of a way that has some. */
  readonly disturbances: number;
  /** Told of each request that has ended. */
  readonly onProgress?: (done: number, of: number) => void;
}

/** Sessions that nobody fetches, such as those of a worker that was killed, do not hold the others up for longer. */
const LEASE_MS = 2_000;
/** What a worker that is told to go gives to what runs. */
const DRAIN_MS = 1;
/** What an answer adds to each step of mocks of which one goes: else it would be through before that, or not be there. */
const SEQUENCE_MS = 8;
/** Requests that run at a worker when it goes. */
const LEAST_MOVED = 2;
/** After a lease and some steps nothing may be left. */
const LEFT_MS = 5 * LEASE_MS;

/** Runs ways with workers in processes of their own, which it starts as they are needed and keeps. */
export class Gate {
  readonly #subject: GateSubject;
  readonly #hosts = new Map<string, Promise<WorkerHost>>();
  readonly #folder = mkdtempSync(join(tmpdir(), "stator-gate-"));
  #ways = 0;

  constructor(subject: GateSubject) {
    this.#subject = subject;
  }

  /** Asks all of it, or what begins it, in one way. */
  async run(way: GateWay, count = this.#subject.asks.length): Promise<GateRow> {
    const running = await this.#open(way, count);
    try {
      return await running.run();
    } finally {
      await running.close();
    }
  }

  /** Scores the wanted answers of a way at full concurrency, token by token. */
  async score(way: GateWay): Promise<NoiseTally> {
    const { asks, wanted, width } = this.#subject;
    const tally = newNoise();
    const running = await this.#open(way, asks.length);
    let next = 0;
    const ask = async (each: GateAsk) => (await running.frontend.ask({ at: next, asks: [each] }))[0]!;
    const caller = async () => {
      for (let at = next++; at < asks.length; at = next++) {
        await scoreForced({ ask: asks[at]!, wanted: wanted[at]! }, ask, tally);
      }
    };
    try {
      await Promise.all(Array.from({ length: width }, caller));
    } finally {
      await running.close();
    }
    return tally;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.then((each) => each.kill())));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #open(way: GateWay, count: number): Promise<WayRun> {
    const discovery = `file://${join(this.#folder, String(this.#ways++))}`;
    const run = new WayRun(way, {
      subject: { ...this.#subject, asks: this.#subject.asks.slice(0, count) },
      discovery,
      frontend: await GateFrontend.open({ discovery, records: 2 * count, ...(way.split && { split: way.split }) }),
      host: (name, isNew) => this.#host(name, isNew),
    });
    await run.begin();
    return run;
  }

  async #host(name: string, isNew = false): Promise<WorkerHost> {
    if (isNew) {
      const before = await this.#hosts.get(name);
      await before?.kill();
      this.#hosts.delete(name);
    }
    const host = this.#hosts.get(name) ?? WorkerHost.start();
    this.#hosts.set(name, host);
    return host;
  }
}

interface WayDeps {
  readonly subject: GateSubject;
  readonly discovery: string;
  readonly frontend: GateFrontend;
  /** The process of this name, or another one in its place when that is killed for it. */
  host(name: string, isNew?: boolean): Promise<WorkerHost>;
}

/** One way while it runs. */
class WayRun {
  readonly #way: GateWay;
  readonly #deps: WayDeps;
  readonly #requests: readonly GateRequest[];
  readonly #workers = new Map<WayWorker, HostedWorker>();
  readonly #answers: GateAnswer[] = [];
  #evicted = 0;
  #meddled = 0;
  #done = 0;
  #disturbances = 0;
  #disturbing: Promise<void> | undefined;

  constructor(way: GateWay, deps: WayDeps) {
    this.#way = way;
    this.#deps = deps;
    this.#requests = gateRequests(deps.subject.asks);
  }

  get frontend(): GateFrontend {
    return this.#deps.frontend;
  }

  async begin(): Promise<void> {
    await Promise.all(this.#way.workers.map((worker) => this.#start(worker)));
    await this.#deps.frontend.ready(this.#way.workers.length, [GATE_MODEL, ...this.#deps.subject.adapters]);
  }

  async run(): Promise<GateRow> {
    const { subject, frontend } = this.#deps;
    const beganMs = performance.now();
    let next = 0;
    const caller = async () => {
      for (let at = next++; at < this.#requests.length; at = next++) await this.#ask(this.#requests[at]!);
    };
    await Promise.all(Array.from({ length: subject.width }, caller));
    const seconds = (performance.now() - beganMs) / 1_000;
    await this.#disturbing;
    const left = await this.#left();
    for (const worker of this.#workers.values()) await this.#count(worker.counts());
    const records = frontend.records(2 * this.#requests.length);
    const wanted = subject.wanted.slice(0, subject.asks.length);
    const isLonger = ({ at, asks }: GateRequest) => asks.some((_, choice) => wanted[at + choice]!.tokens.length > 1);
    return judge({
      ...{ way: this.#way, records, answers: wanted.length, differing: differences(this.#answers, wanted) },
      ...{ spoiled: this.#spoiled(records), longer: this.#requests.filter(isLonger).length, left, seconds },
      ...{
        evicted: this.#evicted,
        meddled: this.#meddled,
        everyBitTells: subject.everyBitTells,
        askedAgain: frontend.askedAgain,
      },
    });
  }

  async close(): Promise<void> {
    await this.#deps.frontend.close();
    await Promise.all([...this.#workers.values()].map((worker) => worker.close().catch(() => {})));
  }

  async #ask(request: GateRequest): Promise<void> {
    const { subject, frontend } = this.#deps;
    // What is damaged unseen stays in the cache, and would be found there by who has the same prefix.
    const own = (ask: GateAsk) => ({ ...ask, cacheSalt: `own ${request.at}` });
    const asks = this.#way.expects === "wrong" ? request.asks.map(own) : request.asks;
    const answers = await frontend.ask({ ...request, asks });
    for (const [choice, answer] of answers.entries()) this.#answers[request.at + choice] = answer;
    this.#done++;
    subject.onProgress?.(this.#done, this.#requests.length);
    if (this.#mayDisturb()) this.#disturbing ??= this.#disturb();
  }

  /** Whether it is time, and something runs at the worker that would go. */
  #mayDisturb(): boolean {
    const { subject, frontend } = this.#deps;
    const due = Math.floor((this.#done * (subject.disturbances + 1)) / this.#requests.length);
    // One that goes between two answers has moved none: it goes again.
    const isIdle = due > 0 && frontend.dispatcher.ledger.totals.migrations === 0;
    if (!this.#way.disturbance || (due <= this.#disturbances && !isIdle)) return false;
    const { address } = this.#workers.get(this.#leaver)!;
    const view = frontend.workers().find(({ instance }) => instance?.address === address);
    return (view?.openRequests ?? 0) >= LEAST_MOVED;
  }

  get #leaver(): WayWorker {
    return this.#way.workers.find(({ process }) => process === "c")!;
  }

  /** The worker of the process `c` goes, and comes back. */
  async #disturb(): Promise<void> {
    this.#disturbances++;
    const worker = this.#leaver;
    if (this.#way.disturbance === "kill") await this.#deps.host("c", true);
    else await this.#count(this.#workers.get(worker)!.close());
    await this.#start(worker);
    this.#disturbing = undefined;
  }

  async #start(worker: WayWorker): Promise<void> {
    const { subject, discovery, host } = this.#deps;
    const { role, meddles = false, options } = worker;
    const sized = this.#way.expects === "wrong" ? subject.roomy : subject.engine;
    const engine =
      sized.kind === "mock" && this.#way.disturbance && role === "decode"
        ? { ...sized, sequenceMs: SEQUENCE_MS }
        : sized;
    const opened = await (await host(worker.process)).open({
      ...{ engine, adapters: subject.adapters, meddles },
      options: {
        ...{ discovery, role, "grpc.port": 0, "drain-ms": DRAIN_MS, "transfer.lease-ms": LEASE_MS },
        ...options,
      },
    });
    this.#workers.set(worker, opened);
  }

  async #count(counting: ReturnType<HostedWorker["counts"]>): Promise<void> {
    const { evicted, meddled } = await counting;
    this.#evicted += evicted;
    this.#meddled += meddled;
  }

  /** Waits until nothing is kept for others any more. Returns what is. */
  async #left(): Promise<number> {
    const { frontend } = this.#deps;
    const untilMs = performance.now() + LEFT_MS;
    for (;;) {
      const left = frontend
        .workers()
        .reduce((sum, { openSessions, pinnedBlocks }) => sum + openSessions + pinnedBlocks, 0);
      if (left === 0 || performance.now() > untilMs) return left;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Places of the answers that went on from blocks of others. */
  #spoiled(records: ReturnType<GateFrontend["records"]>): Set<number> {
    const spoiled = new Set<number>();
    for (const { requestId, handOff } of records) {
      const request = this.#requests.find(({ at }) => String(at) === requestId);
      if (!request || !handOff?.blocks) continue;
      for (const choice of request.asks.keys()) spoiled.add(request.at + choice);
    }
    return spoiled;
  }
}
