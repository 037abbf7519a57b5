import { type FSWatcher, watch as watchFiles } from "node:fs";
import { StatorError } from "#lib/base/errors";
import type { DiscoveryDeps } from "./deps.ts";
import { TEMPORARY } from "./file-format.ts";
import { Alarm } from "./patience.ts";

/** A look at every file this often where the system tells of changes, and where it does not. */
const LOOK_MS = { told: 5_000, untold: 500 } as const;
const HEARTBEAT_MS = 1_500;
/** A larger jump of the wall clock against the steady one makes the ends of leases meaningless for a while. */
const JUMP_MS = 1_000;

/** Knows when to look at the directory again, and at what. */
export class DirectoryEye {
  readonly #deps: DiscoveryDeps;
  readonly #alarm: Alarm;
  readonly #changed = new Set<string>();
  readonly #close: () => void;
  #watcher: FSWatcher | undefined;
  #all = false;
  #lookedMs: number;
  #beatMs: number;
  #offsetMs: number;

  constructor(root: string, deps: DiscoveryDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#alarm = new Alarm(deps.clock);
    const ring = () => this.#alarm.ring();
    signal.addEventListener("abort", ring);
    this.#close = () => signal.removeEventListener("abort", ring);
    this.#lookedMs = this.#beatMs = deps.clock.nowMs();
    this.#offsetMs = this.#wallOffset();
    try {
      this.#watcher = watchFiles(root, { persistent: false }, (_, file) => this.#onChange(file));
      this.#watcher.on("error", () => this.#untold());
    } catch {
      this.#untold();
    }
  }

  /** Waits until a look may find something. Throws UNAVAILABLE after a jump of the wall clock. */
  async rest(nextEndUnixMs: number): Promise<void> {
    const { clock } = this.#deps;
    const lookMs = this.#lookedMs + (this.#watcher ? LOOK_MS.told : LOOK_MS.untold) - clock.nowMs();
    const beatMs = this.#beatMs + HEARTBEAT_MS - clock.nowMs();
    await this.#alarm.wait(Math.max(5, Math.min(lookMs, beatMs, nextEndUnixMs - clock.unixMs() + 1)));
    if (clock.nowMs() >= this.#lookedMs + (this.#watcher ? LOOK_MS.told : LOOK_MS.untold)) this.#all = true;
    const jumpMs = Math.abs(this.#wallOffset() - this.#offsetMs);
    if (jumpMs < JUMP_MS) return;
    throw new StatorError("UNAVAILABLE", { what: "The time", detail: `the clock jumped by ${Math.round(jumpMs)} ms` });
  }

  /** What to look at: these files, or all. */
  take(): string[] | "all" {
    const files = [...this.#changed];
    this.#changed.clear();
    if (!this.#all) return files;
    this.#all = false;
    this.#lookedMs = this.#deps.clock.nowMs();
    return "all";
  }

  /** Whether a sign of life is due. */
  beat(): boolean {
    const nowMs = this.#deps.clock.nowMs();
    if (nowMs - this.#beatMs < HEARTBEAT_MS) return false;
    this.#beatMs = nowMs;
    return true;
  }

  close(): void {
    this.#watcher?.close();
    this.#close();
  }

  #onChange(file: string | null): void {
    if (file?.startsWith(TEMPORARY)) return;
    if (file === null) this.#all = true;
    else this.#changed.add(file);
    this.#alarm.ring();
  }

  /** The system tells nothing here: looking often has to do. */
  #untold(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#all = true;
    this.#alarm.ring();
  }

  #wallOffset(): number {
    return this.#deps.clock.unixMs() - this.#deps.clock.nowMs();
  }
}
