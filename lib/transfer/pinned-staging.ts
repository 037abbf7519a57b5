import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { BlockStaging } from "./block-store.ts";
import type { Mover, OwnRegion } from "./mover.ts";

/** When the memory that blocks pass through between a device and a region is pinned: `auto` where a device of CUDA computes. */
export const PIN_CHOICES = ["auto", "always", "none"] as const;

/** One of {@link PIN_CHOICES}. */
export type PinChoice = (typeof PIN_CHOICES)[number];

/** Pins memory for devices: a driver's, through the mover of the addon. */
export interface Pinner {
  /** Pins a region of the mover until it is closed. Rejects with the reason, one sentence; the region is as it was then. */
  pin(region: OwnRegion): Promise<void>;
}

/** What pinned memory is opened with. */
export interface PinnedStagingDeps {
  /** Opens memory. */
  readonly mover: Mover;
  /** Pins it; undefined where nothing can. */
  readonly pinner: Pinner | undefined;
  /** Told what became of it. */
  readonly log: Log;
  /** With TRANSFER_INSTRUMENTS. */
  readonly metrics: Metrics;
}

/**
 * Pinned memory for the blocks of one engine on their way to its device and from it. Until it is there, and where it cannot be
 * had, they pass through the engine's own.
 */
export class PinnedStaging {
  /** Resolves when blocks pass through pinned memory, with true, or when it is known that they do not. Never rejects. */
  readonly opened: Promise<boolean>;
  readonly #staging: BlockStaging;
  readonly #deps: PinnedStagingDeps & { readonly pinner: Pinner };
  #region: OwnRegion | undefined;
  /** The engine was given the memory. */
  #isLent = false;
  #isClosed = false;

  private constructor(staging: BlockStaging, deps: PinnedStagingDeps & { readonly pinner: Pinner }) {
    this.#staging = staging;
    this.#deps = deps;
    this.opened = this.#open();
  }

  /** Begins to pin memory where that is wanted; undefined where it is not, or where there is nothing to pin. */
  static open(
    choice: PinChoice,
    staging: BlockStaging | undefined,
    deps: PinnedStagingDeps,
  ): PinnedStaging | undefined {
    deps.metrics.set("stator_transfer_page_locked_bytes", 0);
    if (choice === "none" || (choice === "auto" && staging?.device !== "cuda")) return undefined;
    const { pinner } = deps;
    if (staging && pinner) return new PinnedStaging(staging, { ...deps, pinner });
    warn(deps.log, staging ? "there is no native addon" : "this engine has none that blocks pass through");
    return undefined;
  }

  async #open(): Promise<boolean> {
    const { mover, pinner, log, metrics } = this.#deps;
    const { sizeBytes } = this.#staging;
    try {
      this.#region = mover.openRegion(sizeBytes);
      await pinner.pin(this.#region);
      if (this.#isClosed) return false;
      this.#isLent = true;
      await this.#staging.use(this.#region.bytes);
      if (this.#isClosed) return false;
      metrics.set("stator_transfer_page_locked_bytes", sizeBytes);
      log.info("blocks pass through pinned memory", { sizeBytes });
      return true;
    } catch (caught) {
      // Closing takes memory away from whoever is about to pin it.
      if (this.#isClosed) return false;
      warn(log, caught instanceof Error ? caught.message : String(caught));
      await this.#giveBack();
      return false;
    }
  }

  /** Takes the memory back from the engine, and unpins it. Waits for the engine and not for a driver that is still pinning. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#giveBack();
    this.#deps.metrics.set("stator_transfer_page_locked_bytes", 0);
  }

  async #giveBack(): Promise<void> {
    const region = this.#region;
    this.#region = undefined;
    // An engine that is closed, or has failed, uses no memory any more.
    if (this.#isLent) await this.#staging.use(undefined).catch(() => {});
    region?.close();
  }
}

function warn(log: Log, reason: string): void {
  log.warn("memory for blocks is not pinned", { reason });
}
