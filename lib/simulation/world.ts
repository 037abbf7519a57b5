import { printHex } from "#lib/base/bytes";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { MockModel } from "#lib/engines/mock/mock-engine";
import type { ReadyAsk } from "#lib/serving/ask";
import { drawAsk, ZONES } from "./asks.ts";
import { drawTransfer } from "./data-plane.ts";
import { drawFaults, FAULTS, type FaultName } from "./faults.ts";
import { SimulatedFrontend } from "./frontend.ts";
import { Memories } from "./memory.ts";
import { Network } from "./network.ts";
import { drawRouting, type RoutingPlan } from "./routing-plan.ts";
import { SimulatedStore } from "./store.ts";
import { Trace } from "./trace.ts";
import { WEIGHTS } from "./weights.ts";
import { SimulatedWorker, type WorkerPlan } from "./worker.ts";

/** Turns of promises between two moments: as long as the longest chain of them that passes no time. */
const PROMISE_TURNS = 24;
const MOST_WORKERS = 4;
/** Who leaves is one of those that came last, answered or not. */
const LAST_CLIENTS = 4;

/** Roles that workers have where prompts and answers are apart. */
const SPLIT_ROLES = ["prefill", "decode", "aggregated"] as const satisfies readonly WorkerRole[];

/** Faults of a way that nobody sees but by what is missing. */
const SPOILS = ["events lost", "events repeated", "events late"] as const satisfies readonly FaultName[];

/** A cluster in one process: a store, frontends, workers and their clients, on one clock and from one seed. */
export class World {
  readonly clock = new FakeClock();
  readonly chance: Chance;
  readonly trace: Trace;
  readonly network: Network;
  readonly memories: Memories;
  readonly store: SimulatedStore;
  /** All that were ever started, the living last. */
  readonly frontends: SimulatedFrontend[] = [];
  readonly workers: SimulatedWorker[] = [];
  readonly plans: WorkerPlan[];
  readonly frontendNames: readonly string[];
  readonly faults: readonly FaultName[];
  readonly tokenizer: string;
  readonly model: MockModel;
  readonly routing: RoutingPlan;
  /** How often each kind of thing happens, in hundredths. */
  readonly #shares: { readonly send: number; readonly leave: number; readonly break: number; readonly mend: number };
  #requests = 0;

  constructor(seed: number, about: { readonly model: MockModel; readonly write?: (line: string) => void }) {
    const { model } = about;
    this.model = model;
    this.tokenizer = printHex(model.artifacts[0]!.digest);
    this.chance = new SeededChance(BigInt(seed));
    this.trace = new Trace(this.clock, about.write);
    this.network = new Network(new SeededChance(this.chance.id()));
    this.memories = new Memories(this.network);
    this.store = new SimulatedStore(this.clock, new SeededChance(this.chance.id()), this.trace);
    this.faults = seed % 8 === 0 ? [] : drawFaults(this.chance);
    this.#shares = this.#drawShares();
    this.plans = this.#drawPlans();
    const mayEnforce = this.plans.every(({ oldOneIn, weights }) => !oldOneIn && weights === WEIGHTS[0]);
    this.routing = drawRouting(this.chance, { mayEnforce });
    this.frontendNames = Array.from({ length: 1 + pick(this.chance, 2) }, (_, at) => `frontend-${at + 1}`);
    for (const plan of this.plans) this.#startWorker(plan);
    for (const name of this.frontendNames) this.#startFrontend(name);
    // What is seldom noticed is there from the beginning.
    for (const frontend of this.frontends) {
      for (const name of SPOILS) if (this.faults.includes(name)) this.#inflict(name, frontend);
    }
    if (this.faults.includes("blocks spoiled")) for (const worker of this.workers) worker.spoil(true);
  }

  /** Lets time pass: timers, ends of turns and the promises that they keep, in one order. */
  async pass(byMs: number): Promise<void> {
    const { clock } = this;
    const untilMs = clock.nowMs() + byMs;
    for (;;) {
      for (let turn = 0; turn < PROMISE_TURNS; turn++) await Promise.resolve();
      const { nextMs } = clock;
      if (nextMs === undefined || nextMs > untilMs) break;
      clock.advance(Math.max(0, nextMs - clock.nowMs()));
    }
    clock.advance(untilMs - clock.nowMs());
  }

  /** One thing that can happen. */
  act(): void {
    const { send, leave, mend, break: harm } = this.#shares;
    const frontend = this.#any(this.livingFrontends.filter(({ state }) => state === "serving"));
    const dice = pick(this.chance, 100);
    if (dice < send) {
      if (frontend) this.send(frontend);
    } else if (dice < send + leave) {
      const client = frontend && this.#any(frontend.clients.slice(-LAST_CLIENTS));
      if (dice % 2 === 0) client?.cancel();
      else client?.finishChoice(pick(this.chance, client.choices.length), this.chance.next());
    } else if (dice < send + leave + harm) this.#break();
    else if (dice < send + leave + harm + mend) this.#mend();
  }

  /** A drawn request to a frontend; now and then its client is broken. */
  send(frontend: SimulatedFrontend): void {
    frontend.send(this.#draw(), { breaks: pick(this.chance, 60) === 0 });
  }

  /** A request that kills every worker that takes it. */
  sendDeadly(frontend: SimulatedFrontend): void {
    if (frontend.state !== "serving") return;
    const kill = (id: bigint) => this.livingWorkers.find(({ plan }) => plan.instanceId === id)?.kill();
    frontend.send(this.#draw(), { onPlaced: (worker) => this.clock.soon(() => kill(worker)) });
  }

  #draw(): ReadyAsk {
    const { chance, model, tokenizer, plans } = this;
    const workers = plans.map(({ instanceId }) => instanceId);
    return drawAsk(`r${++this.#requests}`, { chance, model, tokenizer, workers });
  }

  /** Everything works from now on, and who is gone comes back. */
  recover(): void {
    for (const mend of this.#wounds()) mend();
    for (const worker of this.livingWorkers) worker.mood.mend();
  }

  /** Nothing is wrong, and every frontend has every worker and no other. */
  get isWhole(): boolean {
    const { livingFrontends, livingWorkers } = this;
    if (this.#wounds().length > 0 || livingWorkers.some(({ state }) => state !== "ready")) return false;
    return livingFrontends.every((frontend) => {
      const ready = frontend.gauge("stator_dispatch_workers ready");
      const isWhole = ready === livingWorkers.length && frontend.dispatcher?.workers().length === ready;
      return frontend.state === "serving" && isWhole;
    });
  }

  /** Of each plan the worker that is there. */
  get livingWorkers(): SimulatedWorker[] {
    return this.workers.filter((worker) => worker.isAlive);
  }

  get livingFrontends(): SimulatedFrontend[] {
    return this.frontends.filter((frontend) => frontend.isAlive);
  }

  /** Frontends that do not stand still. */
  get movingFrontends(): SimulatedFrontend[] {
    return this.livingFrontends.filter(({ clock }) => !clock.isStill);
  }

  /** A third of the worlds has a worker of other weights, and an eighth prompts and answers at workers of their own. */
  #drawPlans(): WorkerPlan[] {
    const { chance, model } = this;
    const workers = 2 + pick(chance, MOST_WORKERS - 1);
    const strangers = pick(chance, 3) === 0 ? 1 : 0;
    const transfer = pick(chance, 8) === 0 ? drawTransfer(chance) : undefined;
    const isMixed = transfer !== undefined && pick(chance, 2) === 0;
    return Array.from({ length: workers }, (_, at) => ({
      name: `worker-${at + 1}`,
      instanceId: chance.id(),
      weights: WEIGHTS[at < strangers ? 1 : 0]!,
      model,
      taints: [`zone=${ZONES[at % ZONES.length]}`],
      transfer,
      // Of those that came last each role is there, whoever else is.
      role: transfer ? this.#drawRole(workers - at, at < strangers) : "aggregated",
      oldOneIn: transfer ? (isMixed ? 6n : undefined) : 2n,
    }));
  }

  #drawRole(fromLast: number, isStrange: boolean): WorkerRole {
    // Nobody else could go on from its prompts, and who asks for it by name is told so.
    if (isStrange && this.faults.length === 0) return "aggregated";
    if (fromLast === 1) return pick(this.chance, 3) === 0 ? "aggregated" : "decode";
    if (fromLast === 2) return "prefill";
    return SPLIT_ROLES[pick(this.chance, SPLIT_ROLES.length)]!;
  }

  #drawShares() {
    const between = (least: number, most: number): number => least + pick(this.chance, most - least + 1);
    return { send: between(25, 45), leave: between(4, 14), break: between(4, 24), mend: between(4, 16) };
  }

  #break(): void {
    const name = this.#any(this.faults);
    const worker = this.#any(this.livingWorkers);
    const frontend = this.#any(this.livingFrontends);
    if (!name || !worker || !frontend) return;
    this.#inflict(name, frontend, worker);
  }

  #inflict(name: FaultName, frontend: SimulatedFrontend, worker = this.workers[0]!): void {
    this.trace.say("world", name, { worker: worker.name, frontend: frontend.name });
    const sendDeadly = () => this.sendDeadly(frontend);
    const others = this.livingWorkers.filter((each) => each !== worker);
    const other = others.length > 0 ? this.#any(others) : undefined;
    const { network, store } = this;
    FAULTS[name]({ worker, other, frontend, network, store, sendDeadly }, this.chance);
  }

  #mend(): void {
    this.#any(this.#wounds())?.();
  }

  /** What mends each thing that is wrong. */
  #wounds(): (() => void)[] {
    const wounds: (() => void)[] = [];
    const wound = (who: string, what: string, mend: () => void): void => {
      wounds.push(() => {
        this.trace.say("world", what, { who });
        mend();
      });
    };
    const { livingFrontends, livingWorkers } = this;
    if (this.store.clock.isStill) wound("store", "goes on", () => this.store.clock.resume());
    for (const { name, clock, line } of [...livingWorkers, ...livingFrontends]) {
      if (clock.isStill) wound(name, "goes on", () => clock.resume());
      if (!line.isUp) wound(name, "reaches the store", () => line.give());
    }
    for (const frontend of livingFrontends.filter((each) => this.network.isSpoiled(each))) {
      wound(frontend.name, "events pass", () => this.network.restore(frontend));
    }
    for (const [at, worker] of livingWorkers.entries()) {
      for (const other of [...livingFrontends, ...livingWorkers.slice(at + 1)]) {
        if (!this.network.isHurt(worker, other)) continue;
        wound(`${worker.name} ${other.name}`, "network passes", () => this.network.heal(worker, other));
      }
      if (worker.state === "failed") wound(worker.name, "is taken down", () => worker.drain(0));
      const { plane } = worker;
      if (worker.spoils) wound(worker.name, "lends whole blocks", () => worker.spoil(false));
      if (plane?.mover?.isForbidden) wound(worker.name, "reads memory", () => plane.mover?.forbid(false));
      if (worker.isMisplaced) wound(worker.name, "takes its role", () => worker.changeRole(worker.plan.role, 0));
    }
    const has = (all: readonly { readonly name: string }[], name: string) => all.some((one) => one.name === name);
    for (const plan of this.plans) {
      if (!has(livingWorkers, plan.name)) wound(plan.name, "starts again", () => this.#startWorker(plan));
    }
    for (const name of this.frontendNames) {
      if (!has(livingFrontends, name)) wound(name, "starts again", () => this.#startFrontend(name));
    }
    return wounds;
  }

  /** Half of them come back under their own name, as another incarnation, the others as another instance. */
  #startWorker(plan: WorkerPlan): void {
    const isAgain = this.workers.some(({ name }) => name === plan.name);
    const instanceId = isAgain && pick(this.chance, 2) === 0 ? this.chance.id() : plan.instanceId;
    const now = { ...plan, instanceId };
    this.plans[this.plans.findIndex(({ name }) => name === plan.name)] = now;
    const worker = new SimulatedWorker(now, this);
    this.workers.push(worker);
    worker.start();
  }

  #startFrontend(name: string): void {
    const frontend = new SimulatedFrontend({ name, routing: this.routing }, this);
    this.frontends.push(frontend);
    frontend.start();
  }

  #any<Thing>(all: readonly Thing[]): Thing | undefined {
    return all[pick(this.chance, Math.max(1, all.length))];
  }
}
