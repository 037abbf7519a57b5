import { Backoff } from "#lib/base/backoff";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { readHealth } from "./chat-client.ts";
import { type Child, type ChildReport, startChild } from "./children.ts";
import type { CommandContext } from "./command.ts";
import type { ModelReport } from "./model-report.ts";
import type { ProcessBoard } from "./process-board.ts";
import { isCrash, type ProcessEnd, RESTART } from "./restart.ts";

/** Time beyond the drain that a child has to close its files and sockets. */
const LATE_MS = 3000;

/** How often a frontend is asked whether it would route a request. */
const ASK_EVERY_MS = 100;

/** The frontend's name on the board; every other child is a worker. */
const FRONTEND = "frontend";

/** What a tree is made of. */
export interface TreeParts {
  readonly clock: Clock;
  readonly context: CommandContext;
  readonly board: ProcessBoard;
  /** Arguments of each child by its name; one is called frontend, all others are workers. */
  readonly children: ReadonlyMap<string, readonly string[]>;
  /** Called whenever a worker became ready. */
  readonly onModel: (model: ModelReport) => void;
  /** Models that must be routable before that. */
  readonly awaited: () => readonly string[];
  /** Called once, when a request would be answered. */
  readonly onRoutable: (frontendAddress: string) => void;
}

/** One start of a child. */
interface Start {
  readonly child: Child;
  wasReady: boolean;
  failure: StatorError | undefined;
}

/**
 * The children of `stator up`. Each is started again when it ends by itself; what can never work, before anything did, ends
 * all.
 */
export class ProcessTree {
  readonly #parts: TreeParts;
  readonly #starts = new Map<string, Start>();
  readonly #backoffs = new Map<string, Backoff>();
  readonly #failed = Promise.withResolvers<never>();
  /** Some worker was ready once: whatever comes, it can work. */
  #hasWorked = false;
  /** A request was routable once. */
  #hasServed = false;
  #stopping = false;
  #announced = false;

  constructor(parts: TreeParts) {
    this.#parts = parts;
  }

  /** Starts all; rejects when the tree cannot work, with the reason of the child that found it. */
  start(): Promise<never> {
    for (const name of this.#parts.children.keys()) {
      this.#backoffs.set(name, new Backoff(RESTART));
      this.#launch(name);
    }
    return this.#failed.promise;
  }

  /** Drains the frontend first, so that no answer is cut, then the workers; kills what is late. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping = true;
    const all = [...this.#starts.values()].map(({ child }) => child);
    const isFrontend = ({ name }: Child) => name === FRONTEND;
    const { clock } = this.#parts;
    await endChildren(all.filter(isFrontend), { clock, drainMs });
    await endChildren(
      all.filter((child) => !isFrontend(child)),
      { clock, drainMs },
    );
  }

  #launch(name: string): void {
    const { context, board } = this.#parts;
    const onReport = (report: ChildReport) => this.#onReport(name, report);
    const child = startChild(name, this.#argumentsOf(name), { onReport, log: context.log, screen: context.screen });
    const start: Start = { child, wasReady: false, failure: undefined };
    this.#starts.set(name, start);
    board.set(name, { pid: child.pid, state: "starting", fraction: 0 });
    context.scope.spawn(`follow ${name}`, async () => {
      const end = await child.ended;
      this.#starts.delete(name);
      if (!this.#stopping) this.#ended(name, start, end);
    });
  }

  /** A frontend comes back where its clients look for it. */
  #argumentsOf(name: string): readonly string[] {
    const args = this.#parts.children.get(name) ?? [];
    const port = this.#parts.board.get(name)?.address.split(":").at(-1);
    if (name !== FRONTEND || !port) return args;
    return [...args.filter((arg) => !arg.startsWith("--http-port=")), `--http-port=${port}`];
  }

  #ended(name: string, start: Start, end: ProcessEnd): void {
    const { clock, context, board } = this.#parts;
    const how = end.signal ? `by ${end.signal}` : `with code ${end.code}`;
    board.set(name, { state: "ended", detail: how });
    if (!start.wasReady && !start.failure && isCrash(end) && this.#isFirst(name)) {
      const detail = `${name} ended ${how} before it was ready: its model may be damaged, or too large for this machine`;
      this.#failed.reject(new StatorError("ENGINE_FAILED", { detail }));
      return;
    }
    const waitMs = start.wasReady ? 0 : this.#backoffs.get(name)!.nextMs();
    context.log.warn("process ended, starting it again", { process: name, ...end, error: start.failure, waitMs });
    clock.after(waitMs, () => {
      if (!this.#stopping) this.#launch(name);
    });
  }

  /** Whether nothing says yet that a child of this kind can work here. */
  #isFirst(name: string): boolean {
    return name === FRONTEND ? !this.#hasServed : !this.#hasWorked;
  }

  #onReport(name: string, report: ChildReport): void {
    const { board, context } = this.#parts;
    const start = this.#starts.get(name);
    if (!start) return;
    if (report.type === "progress") {
      board.set(name, { state: report.phase, fraction: report.fraction });
    } else if (report.type === "ready") {
      start.wasReady = true;
      this.#backoffs.get(name)!.reset();
      if (name !== FRONTEND) this.#hasWorked = true;
      board.set(name, { state: "ready", address: report.address, detail: report.detail });
      if (report.model) this.#parts.onModel(report.model);
    } else {
      const error = new StatorError(report.reason, report.facts);
      if (error.row.retry === "never" && this.#isFirst(name)) this.#failed.reject(error);
      else if (report.type === "unusable") context.log.error("a model cannot be served", { error });
      if (report.type === "unusable") return;
      start.failure = error;
      board.set(name, { state: "failed", detail: "" });
    }
    if (!this.#announced && board.allReady()) this.#announce();
  }

  #announce(): void {
    const { context, board, onRoutable } = this.#parts;
    this.#announced = true;
    const address = board.get(FRONTEND)?.address ?? "";
    context.scope.spawn("announce", async (signal) => {
      await this.#untilRoutable(address, signal);
      if (signal.aborted) return;
      this.#hasServed = true;
      board.settle();
      onRoutable(address);
    });
  }

  /** Workers are ready before the frontend has fetched their tokenizer and linked to them: what is announced works. */
  async #untilRoutable(address: string, signal: AbortSignal): Promise<void> {
    const models = this.#parts.awaited();
    while (!signal.aborted) {
      const health = await readHealth(`http://${address}`).catch(() => undefined);
      if (health && models.every((name) => health.models.includes(name))) return;
      await new Promise<void>((resolve) => void this.#parts.clock.after(ASK_EVERY_MS, resolve, { keepAlive: true }));
    }
  }
}

async function endChildren(
  children: readonly Child[],
  { clock, drainMs }: { readonly clock: Clock; readonly drainMs: number },
): Promise<void> {
  for (const child of children) child.drain();
  const kill = (): void => {
    for (const child of children) child.kill();
  };
  const late = clock.after(drainMs + LATE_MS, kill, { keepAlive: true });
  await Promise.all(children.map(({ ended }) => ended));
  late.cancel();
}
