import { describe, expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { silentLog } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import type { Child, ChildReport } from "./children.ts";
import type { ProcessRow } from "./process-board.ts";
import { type ChildPlan, ProcessTree } from "./process-tree.ts";
import type { ProcessEnd } from "./restart.ts";

/** A process that does what a test tells it, and notes what it is told. */
class ScriptedChild implements Child {
  readonly told: string[] = [];
  readonly #end = Promise.withResolvers<ProcessEnd>();
  readonly ended = this.#end.promise;
  readonly name: string;
  readonly pid = 1;
  readonly args: readonly string[];
  readonly report: (report: ChildReport) => void;

  constructor(name: string, args: readonly string[], report: (report: ChildReport) => void) {
    this.name = name;
    this.args = args;
    this.report = report;
  }

  drain(): void {
    this.told.push("drain");
  }

  kill(): void {
    this.told.push("kill");
    this.exit({ signal: "SIGKILL" });
  }

  ready(address = "127.0.0.1:1", ...ports: readonly string[]): void {
    const facts = { name: "m", engine: "mock", asked: "chat" as const, facts: [] };
    const further = ports.map((each) => ({ address: each, detail: "" }));
    this.report({
      type: "ready",
      address,
      detail: "",
      ports: further,
      ...(this.name !== "frontend" && { models: [facts] }),
    });
  }

  exit(end: Partial<ProcessEnd> = {}): void {
    this.#end.resolve({ code: null, signal: null, ...end });
  }
}

const PLANS: ReadonlyMap<string, ChildPlan> = new Map([
  ["worker-1", { role: "worker", args: ["worker"] }],
  ["worker-2", { role: "worker", args: ["worker"] }],
  ["frontend", { role: "frontend", args: ["frontend", "--http-port=0", "--grpc-port=0", "--log-level=warn"] }],
]);

/** A tree of such processes on a clock that only moves when told. */
class TreeRig {
  readonly clock = new FakeClock();
  readonly scope = new Scope("test", silentLog);
  readonly rows = new Map<string, ProcessRow>();
  /** Every start, in order. */
  readonly starts: ScriptedChild[] = [];
  readonly models: string[] = [];
  readonly announced: string[] = [];
  /** What the frontend would answer for; undefined while nobody answers. */
  routable: string[] | undefined;
  asked = 0;
  failure: unknown;
  readonly tree = new ProcessTree({
    clock: this.clock,
    scope: this.scope,
    log: silentLog,
    board: {
      set: (name, change) =>
        void this.rows.set(name, {
          ...{ pid: 0, state: "", fraction: 0, address: "", detail: "", ports: [] },
          ...this.rows.get(name),
          ...change,
        }),
      get: (name) => this.rows.get(name),
      allReady: () => [...this.rows.values()].every(({ state }) => state === "ready"),
      settle() {},
    },
    children: PLANS,
    launch: (name, args, onReport) => {
      const child = new ScriptedChild(name, args, onReport);
      this.starts.push(child);
      return child;
    },
    routable: async () => {
      this.asked++;
      if (!this.routable) throw new Error("nobody answers");
      return this.routable;
    },
    onModel: ({ name }) => void this.models.push(name),
    awaited: () => [...new Set(this.models)],
    onRoutable: (addresses) => void this.announced.push(...addresses),
  });

  constructor() {
    this.tree.start().catch((error: unknown) => {
      this.failure = error;
    });
  }

  /** The last start of a child. */
  child(name: string): ScriptedChild {
    return this.starts.findLast((child) => child.name === name)!;
  }

  startsOf(name: string): number {
    return this.starts.filter((child) => child.name === name).length;
  }

  /** Lets promises run, then time. */
  async pass(forMs = 0): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    this.clock.advance(forMs);
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  }

  /** Everything is up and a request would be answered. */
  async serve(): Promise<void> {
    for (const name of PLANS.keys()) this.child(name).ready();
    this.routable = ["m"];
    await this.pass(100);
  }
}

describe("a tree of processes", () => {
  it("starts all, and tells once that a request would be answered, when it would be", async () => {
    const rig = new TreeRig();
    expect(rig.starts.map(({ name }) => name)).toEqual(["worker-1", "worker-2", "frontend"]);
    rig.child("worker-1").ready();
    rig.child("frontend").ready("127.0.0.1:8000", "127.0.0.1:8001");
    await rig.pass(1_000);
    expect([rig.asked, rig.models]).toEqual([0, ["m"]]);
    rig.child("worker-2").ready();
    await rig.pass();
    rig.routable = ["another"];
    await rig.pass(99);
    expect(rig.asked).toBe(1);
    await rig.pass(1);
    expect([rig.asked, rig.announced]).toEqual([2, []]);
    rig.routable = ["another", "m"];
    await rig.pass(100);
    expect(rig.announced).toEqual(["127.0.0.1:8000", "127.0.0.1:8001"]);
    rig.child("worker-1").exit({ code: 0 });
    await rig.pass();
    rig.child("worker-1").ready();
    await rig.pass(1_000);
    expect([rig.asked, rig.announced]).toEqual([3, ["127.0.0.1:8000", "127.0.0.1:8001"]]);
  });

  it("starts one that was ready at once, and waits longer with each start that failed, until one is ready", async () => {
    const rig = new TreeRig();
    await rig.serve();
    const fail = async (...waits: number[]) => {
      for (const waitMs of waits) {
        const before = rig.startsOf("worker-1");
        rig.child("worker-1").exit({ code: 1 });
        await rig.pass(waitMs - 1);
        expect(rig.startsOf("worker-1"), `before ${waitMs} ms`).toBe(before);
        await rig.pass(1);
        expect(rig.startsOf("worker-1"), `after ${waitMs} ms`).toBe(before + 1);
      }
    };
    rig.child("worker-1").exit({ signal: "SIGKILL" });
    await rig.pass();
    expect(rig.startsOf("worker-1")).toBe(2);
    await fail(1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000);
    rig.child("worker-1").ready();
    rig.child("worker-1").exit({ code: 1 });
    await rig.pass();
    await fail(1_000, 2_000);
    expect([rig.startsOf("worker-2"), rig.failure]).toEqual([1, undefined]);
  });

  it("gives a frontend that comes back the ports where its clients look, and a worker what it had", async () => {
    const rig = new TreeRig();
    await rig.serve();
    rig.child("frontend").ready("127.0.0.1:8123", "127.0.0.1:8124");
    for (const name of ["frontend", "worker-1"]) rig.child(name).exit({ code: 1 });
    await rig.pass();
    expect(rig.child("frontend").args).toEqual([
      "frontend",
      "--log-level=warn",
      "--http-port=8123",
      "--grpc-port=8124",
    ]);
    expect(rig.child("worker-1").args).toEqual(["worker"]);
  });

  it.each([
    ["worker-1", { signal: "SIGSEGV" }, true],
    ["worker-1", { code: 1 }, true],
    ["worker-1", { code: 0 }, false],
    ["worker-1", { signal: "SIGKILL" }, false],
    ["frontend", { code: 1 }, true],
  ] as const)("that %s crashes by %o before anything of its role worked ends all: %s", async (name, end, fatal) => {
    const rig = new TreeRig();
    rig.child(name).exit(end);
    await rig.pass(1_000);
    expect(rig.failure).toEqual(fatal ? expect.objectContaining({ reason: "ENGINE_FAILED" }) : undefined);
    expect(rig.startsOf(name)).toBe(fatal ? 1 : 2);
  });

  it("goes on where another of the role worked; a frontend has worked once a request would be answered", async () => {
    const rig = new TreeRig();
    rig.child("worker-2").ready();
    rig.child("worker-1").exit({ signal: "SIGSEGV" });
    await rig.pass(1_000);
    expect([rig.failure, rig.startsOf("worker-1")]).toEqual([undefined, 2]);
    await rig.serve();
    rig.child("frontend").exit({ code: 1 });
    await rig.pass();
    rig.child("frontend").exit({ code: 1 });
    await rig.pass(1_000);
    expect([rig.failure, rig.startsOf("frontend")]).toEqual([undefined, 3]);
  });

  it.each(["failed", "unusable"] as const)("ends with what a child says that can never work: %s", async (type) => {
    const never = { type, reason: "BAD_MODEL_FILE", facts: { path: "m.gguf", detail: "torn" } } as const;
    const rig = new TreeRig();
    // Whether another was faster makes no difference: the tree would wait for this one for ever.
    rig.child("worker-2").ready();
    rig.child("worker-1").report(never);
    await rig.pass();
    expect(rig.failure).toMatchObject({ reason: "BAD_MODEL_FILE" });
    const served = new TreeRig();
    await served.serve();
    served.child("worker-1").report(never);
    served.child("worker-1").exit({ code: 1 });
    await served.pass(1_000);
    expect([served.failure, served.startsOf("worker-1")]).toEqual([undefined, 2]);
  });

  it("tries again what may work another time, though nothing worked yet", async () => {
    const rig = new TreeRig();
    rig.child("worker-1").report({ type: "failed", reason: "UNAVAILABLE", facts: { what: "the hub", detail: "busy" } });
    rig.child("worker-1").exit({ code: 1 });
    await rig.pass(1_000);
    expect([rig.failure, rig.startsOf("worker-1")]).toEqual([undefined, 2]);
  });

  it("drains the frontend before its workers, kills who is late, and starts nobody again", async () => {
    const rig = new TreeRig();
    await rig.serve();
    let stopped = false;
    const stopping = rig.tree.stop(5_000).finally(() => {
      stopped = true;
    });
    await rig.pass(7_999);
    expect([rig.child("frontend").told, rig.child("worker-1").told]).toEqual([["drain"], []]);
    await rig.pass(1);
    expect(rig.child("frontend").told).toEqual(["drain", "kill"]);
    expect(["worker-1", "worker-2"].map((name) => rig.child(name).told)).toEqual([["drain"], ["drain"]]);
    rig.child("worker-1").exit({ code: 0 });
    await rig.pass();
    expect(stopped).toBe(false);
    rig.child("worker-2").exit({ code: 0 });
    await stopping;
    await rig.pass(60_000);
    expect([stopped, rig.starts.length, rig.child("worker-2").told]).toEqual([true, 3, ["drain"]]);
  });

  it("starts nobody whose wait ends while all stop", async () => {
    const rig = new TreeRig();
    rig.child("worker-1").exit({ code: 0 });
    await rig.pass(500);
    const stopping = rig.tree.stop(1_000);
    await rig.pass(500);
    for (const child of rig.starts) child.exit({ code: 0 });
    await rig.pass();
    await stopping;
    await rig.pass(60_000);
    expect(rig.starts).toHaveLength(3);
  });
});
