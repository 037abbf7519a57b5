import { systemClock } from "#lib/host/system-clock";
import { readHealth } from "./chat-client.ts";
import { type Child, type ChildReport, startChild } from "./children.ts";
import type { CommandContext } from "./command.ts";
import type { ModelReport } from "./model-report.ts";
import type { ProcessBoard } from "./process-board.ts";

/** First wait before a worker that ended by itself is started again, and the longest one. */
const RESTART_MS = { first: 1000, most: 30_000 } as const;

/** Time beyond the drain that a child has to close its files and sockets. */
const LATE_MS = 3000;

/** How often a frontend is asked whether it would route a request. */
const ASK_EVERY_MS = 100;

/** The frontend's name on the board; every other child is a worker. */
const FRONTEND = "frontend";

/** What a tree is made of. */
export interface TreeParts {
  readonly context: CommandContext;
  readonly board: ProcessBoard;
  /** Arguments of each child by its name; one is called frontend. */
  readonly children: ReadonlyMap<string, readonly string[]>;
  /** Called whenever a worker became ready. */
  readonly onModel: (model: ModelReport) => void;
  /** Models that must be routable before that. */
  readonly awaited: () => readonly string[];
  /** Called once, when a request would be answered. */
  readonly onRoutable: (frontendAddress: string) => void;
}

/** The children of `stator up`: workers are started again when they end by themselves; the frontend's end ends all. */
export class ProcessTree {
  readonly #parts: TreeParts;
  readonly #children = new Map<string, Child>();
  readonly #failed = Promise.withResolvers<number>();
  #stopping = false;
  #announced = false;

  constructor(parts: TreeParts) {
    this.#parts = parts;
  }

  /** Starts all; resolves with an exit code when the tree cannot go on. */
  start(): Promise<number> {
    for (const [name, args] of this.#parts.children) this.#launch(name, args, RESTART_MS.first);
    return this.#failed.promise;
  }

  /** Drains the frontend first, so that no answer is cut, then the workers; kills what is late. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping = true;
    const all = [...this.#children.values()];
    const isFrontend = ({ name }: Child) => name === FRONTEND;
    await endChildren(all.filter(isFrontend), drainMs);
    await endChildren(
      all.filter((child) => !isFrontend(child)),
      drainMs,
    );
  }

  #launch(name: string, args: readonly string[], restartMs: number): void {
    const { context, board } = this.#parts;
    const child = startChild(name, args, {
      onReport: (report) => this.#onReport(name, report),
      log: context.log,
      screen: context.screen,
    });
    const startedMs = systemClock.nowMs();
    this.#children.set(name, child);
    board.set(name, { pid: child.pid, state: "starting", fraction: 0 });
    context.scope.spawn(`follow ${name}`, async () => {
      const end = await child.ended;
      this.#children.delete(name);
      if (this.#stopping || this.#endsTree(name, end)) return;
      const waitMs = systemClock.nowMs() - startedMs > RESTART_MS.most ? RESTART_MS.first : restartMs;
      context.log.warn("worker ended, starting it again", { worker: name, ...end, waitMs });
      systemClock.after(waitMs, () => {
        if (!this.#stopping) this.#launch(name, args, Math.min(waitMs * 2, RESTART_MS.most));
      });
    });
  }

  /** Whether a child's end is the end of all: the frontend's, and a worker's that could not even start the first time. */
  #endsTree(name: string, { code, signal }: { code: number | null; signal: NodeJS.Signals | null }): boolean {
    const { board } = this.#parts;
    const couldNotStart = board.get(name)?.state === "failed" && !this.#announced;
    board.set(name, { state: "ended", detail: signal ? `by ${signal}` : `with code ${code}` });
    if (name !== FRONTEND && !couldNotStart) return false;
    this.#failed.resolve(code || 1);
    return true;
  }

  #onReport(name: string, report: ChildReport): void {
    const { board } = this.#parts;
    if (report.type === "progress") board.set(name, { state: report.phase, fraction: report.fraction });
    else if (report.type === "failed") board.set(name, { state: "failed", detail: report.message });
    else {
      board.set(name, { state: "ready", address: report.address, detail: report.detail });
      if (report.model) this.#parts.onModel(report.model);
    }
    if (!this.#announced && board.allReady()) this.#announce();
  }

  #announce(): void {
    const { context, board, onRoutable } = this.#parts;
    this.#announced = true;
    const address = board.get(FRONTEND)?.address ?? "";
    context.scope.spawn("announce", async (signal) => {
      await untilRoutable(address, this.#parts.awaited(), signal);
      if (signal.aborted) return;
      board.settle();
      onRoutable(address);
    });
  }
}

/** Workers are ready before the frontend has fetched their tokenizer and linked to them: what is announced works. */
async function untilRoutable(address: string, models: readonly string[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const health = await readHealth(`http://${address}`).catch(() => undefined);
    if (health && models.every((name) => health.models.includes(name))) return;
    await new Promise<void>((resolve) => void systemClock.after(ASK_EVERY_MS, resolve, { keepAlive: true }));
  }
}

async function endChildren(children: readonly Child[], drainMs: number): Promise<void> {
  for (const child of children) child.drain();
  const kill = (): void => {
    for (const child of children) child.kill();
  };
  const late = systemClock.after(drainMs + LATE_MS, kill, { keepAlive: true });
  await Promise.all(children.map(({ ended }) => ended));
  late.cancel();
}
