import { Backoff } from "#lib/base/backoff";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Scope } from "#lib/host/scope";
import type { Child, ChildReport } from "./children.ts";
import type { ModelReport } from "./model-report.ts";
import type { ProcessBoard } from "./process-board.ts";
import { isCrash, type ProcessEnd, RESTART } from "./restart.ts";
import { type ProcessRole, ROLES, type RoleName } from "./roles.ts";

/** Time beyond the drain that a child has to close its files and sockets. */
const LATE_MS = 3000;

/** How often a frontend is asked whether it would route a request. */
const ASK_EVERY_MS = 100;

/** A child that a tree starts. */
export interface ChildPlan {
  /** What the tree does when it ends or is to drain. */
  readonly role: RoleName;
  /** Arguments of its command, the command first. */
  readonly args: readonly string[];
}

/** What a tree is made of. */
export interface TreeParts {
  /** Of all its waits. */
  readonly clock: Clock;
  /** Told of every child that ends by itself. */
  readonly log: Log;
  /** Borrowed. */
  readonly scope: Scope;
  /** Shows the children; the tree sets their rows and settles it. */
  readonly board: ProcessBoard;
  /** By the names on the board. */
  readonly children: ReadonlyMap<string, ChildPlan>;
  /** Starts a child; `onReport` gets what it tells. */
  readonly launch: (name: string, args: readonly string[], onReport: (report: ChildReport) => void) => Child;
  /** Models that a frontend at this address would answer for now; rejects where nobody answers. */
  readonly routable: (address: string) => Promise<readonly string[]>;
  /** Called whenever a worker became ready. */
  readonly onModel: (model: ModelReport) => void;
  /** Models that must be routable before the next. */
  readonly awaited: () => readonly string[];
  /** Called once, when a request would be answered, with where the frontend listens: its ports in the order of its role. */
  readonly onRoutable: (addresses: readonly string[]) => void;
}

/** A child over all its starts. */
interface Member {
  readonly name: string;
  readonly plan: ChildPlan;
  readonly role: ProcessRole;
  readonly backoff: Backoff;
  /** The start that runs; undefined between two. */
  start: Start | undefined;
}

/** One start of a child. */
interface Start {
  readonly child: Child;
  wasReady: boolean;
  failure: StatorError | undefined;
}

/**
 * The children of `stator up`. Each is started again when it ends by itself. All end where one says that it can never work
 * before a request would have been answered, and where one crashes before any of its role worked.
 */
export class ProcessTree {
  readonly #parts: TreeParts;
  readonly #members: readonly Member[];
  readonly #failed = Promise.withResolvers<never>();
  /** Some process of these roles worked once: a crash of another may be chance. */
  readonly #proven = new Set<ProcessRole>();
  #stopping = false;
  #announced = false;
  /** A request would have been answered once. */
  #hasServed = false;

  constructor(parts: TreeParts) {
    this.#parts = parts;
    this.#members = [...parts.children].map(([name, plan]) => {
      return { name, plan, role: ROLES[plan.role], backoff: new Backoff(RESTART), start: undefined };
    });
  }

  /** Starts all; rejects when the tree cannot work, with the reason of the child that found it. */
  start(): Promise<never> {
    for (const member of this.#members) this.#launch(member);
    return this.#failed.promise;
  }

  /** Drains role after role, so that no answer is cut; kills what is late. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping = true;
    for (const turn of new Set(this.#members.map(({ role }) => role.drains).sort((one, other) => one - other))) {
      const members = this.#members.filter(({ role }) => role.drains === turn);
      await this.#end(
        members.flatMap(({ start }) => start?.child ?? []),
        drainMs,
      );
    }
  }

  #launch(member: Member): void {
    const { launch, board, scope } = this.#parts;
    const { name } = member;
    const onReport = (report: ChildReport) => this.#onReport(member, report);
    const child = launch(name, this.#argumentsOf(member), onReport);
    const start: Start = { child, wasReady: false, failure: undefined };
    member.start = start;
    board.set(name, { pid: child.pid, state: "starting", fraction: 0 });
    scope.spawn(`follow ${name}`, async () => {
      const end = await child.ended;
      member.start = undefined;
      if (!this.#stopping) this.#ended(member, start, end);
    });
  }

  #argumentsOf({ name, plan, role }: Member): readonly string[] {
    const kept = this.#addressesOf(name).flatMap((address, at) => {
      const flag = role.portFlags[at];
      return flag === undefined ? [] : [{ flag, port: address.split(":").at(-1) }];
    });
    const others = plan.args.filter((arg) => !kept.some(({ flag }) => arg.startsWith(`${flag}=`)));
    return [...others, ...kept.map(({ flag, port }) => `${flag}=${port}`)];
  }

  /** Where a child listens, or did last; none before it was ready. */
  #addressesOf(name: string): readonly string[] {
    const row = this.#parts.board.get(name);
    return row?.address ? [row.address, ...row.ports.map(({ address }) => address)] : [];
  }

  #ended(member: Member, start: Start, end: ProcessEnd): void {
    const { clock, board, log } = this.#parts;
    const { name, role, backoff } = member;
    const how = end.signal ? `by ${end.signal}` : `with code ${end.code}`;
    board.set(name, { state: "ended", detail: how });
    if (!start.wasReady && !start.failure && isCrash(end) && !this.#proven.has(role)) {
      const detail = `${name} ended ${how} before it was ready: its model may be damaged, or too large for this machine`;
      this.#failed.reject(new StatorError("ENGINE_FAILED", { detail }));
      return;
    }
    const waitMs = start.wasReady ? 0 : backoff.nextMs();
    log.warn("process ended, starting it again", { process: name, ...end, error: start.failure, waitMs });
    clock.after(waitMs, () => {
      if (!this.#stopping) this.#launch(member);
    });
  }

  #onReport(member: Member, report: ChildReport): void {
    const { board } = this.#parts;
    const { name, start } = member;
    if (!start) return;
    if (report.type === "progress") board.set(name, { state: report.phase, fraction: report.fraction });
    else if (report.type === "ready") this.#ready(member, start, report);
    else this.#hasFailed(member, start, report);
    if (!this.#announced && board.allReady()) this.#announce();
  }

  #ready({ name, role, backoff }: Member, start: Start, report: ChildReport & { type: "ready" }): void {
    const { address, detail, ports = [], models = [] } = report;
    start.wasReady = true;
    backoff.reset();
    if (role.provenWhen === "ready") this.#proven.add(role);
    this.#parts.board.set(name, { state: "ready", address, detail, ports });
    for (const model of models) this.#parts.onModel(model);
  }

  #hasFailed({ name }: Member, start: Start, report: ChildReport & { type: "failed" | "unusable" }): void {
    const { type, reason, facts } = report;
    const error = new StatorError(reason, facts);
    if (error.row.retry === "never" && !this.#hasServed) this.#failed.reject(error);
    else if (type === "unusable") this.#parts.log.error("a model cannot be served", { error });
    if (type === "unusable") return;
    start.failure = error;
    this.#parts.board.set(name, { state: "failed", detail: "" });
  }

  #announce(): void {
    const { scope, board, onRoutable } = this.#parts;
    this.#announced = true;
    const door = this.#members.find(({ role }) => role.provenWhen === "routable");
    const addresses = door ? this.#addressesOf(door.name) : [];
    scope.spawn("announce", async (signal) => {
      await this.#untilRoutable(addresses[0] ?? "", signal);
      if (signal.aborted) return;
      this.#hasServed = true;
      if (door) this.#proven.add(door.role);
      board.settle();
      onRoutable(addresses);
    });
  }

  /** Workers are ready before the frontend has fetched their tokenizer and linked to them: what is announced works. */
  async #untilRoutable(address: string, signal: AbortSignal): Promise<void> {
    const { clock, routable, awaited } = this.#parts;
    const models = awaited();
    while (!signal.aborted) {
      const now = await routable(address).catch(() => undefined);
      if (now && models.every((name) => now.includes(name))) return;
      await new Promise<void>((resolve) => void clock.after(ASK_EVERY_MS, resolve, { keepAlive: true }));
    }
  }

  async #end(children: readonly Child[], drainMs: number): Promise<void> {
    for (const child of children) child.drain();
    const kill = (): void => {
      for (const child of children) child.kill();
    };
    const late = this.#parts.clock.after(drainMs + LATE_MS, kill, { keepAlive: true });
    await Promise.all(children.map(({ ended }) => ended));
    late.cancel();
  }
}
