import type { PassRecord } from "#lib/perf/time-model";
import type { Fleet, FleetWorker } from "../fleet.ts";
import { RankLedger } from "./rank-ledger.ts";
import type { RankLoad } from "./rank-load.ts";
import { addedBlocks, type LoadPrompt, type Placement, Reservation } from "./reservation.ts";

/** One rank of a worker. */
export interface RankPlace {
  /** Its instance. */
  readonly worker: bigint;
  /** From 0. */
  readonly rank: number;
}

interface WorkerLedgers {
  readonly incarnation: bigint;
  readonly ranks: readonly RankLedger[];
}

/**
 * What every rank has to do: what this router placed there, tied to the life of its streams, and what step records tell of
 * other callers. Nothing here costs time for each token but a few additions.
 */
export class LoadBook {
  readonly #workers = new Map<bigint, WorkerLedgers>();
  #open = 0;

  /** Reservations whose choices have not all ended, wherever they are: 0 when nothing runs. */
  get openReservations(): number {
    return this.#open;
  }

  /**
   * The workers that are there from now on. One that is gone, or has another incarnation, takes its load with it; what still
   * comes for its reservations counts nowhere.
   */
  follow(fleet: Fleet): void {
    for (const worker of this.#workers.keys()) if (!fleet.has(worker)) this.#workers.delete(worker);
    for (const worker of fleet.values()) {
      const known = this.#workers.get(worker.worker);
      const isSame = known?.incarnation === worker.incarnation && known.ranks.length === worker.ranks;
      const ledgers = isSame ? known : { incarnation: worker.incarnation, ranks: createLedgers(worker.ranks) };
      for (const ledger of ledgers.ranks) describe(ledger, worker);
      this.#workers.set(worker.worker, ledgers);
    }
  }

  /** Counts a prompt at its place until its last choice has ended. At a rank that is not there it counts nowhere. */
  reserve(place: RankPlace, placement: Placement): Reservation {
    this.#open++;
    return new Reservation(this.#at(place) ?? new RankLedger(), placement, () => this.#open--);
  }

  /** What a worker told of a pass; borrows the record. `promptMs`: how much of the pass went into prompts. */
  observe(worker: bigint, pass: PassRecord, at: { readonly nowMs: number; readonly promptMs: number }): void {
    this.#at({ worker, rank: pass.rank })?.observe(pass, at);
  }

  /** The load of a rank now; of one that is not there, none. */
  read(place: RankPlace, nowMs: number): RankLoad {
    return (this.#at(place) ?? new RankLedger()).read(nowMs);
  }

  /** Blocks that a rank would have active with a prompt beside its `activeBlocks`: those that no request there has. */
  addedBlocks(place: RankPlace, prompt: LoadPrompt): number {
    const ledger = this.#at(place);
    return ledger ? addedBlocks(ledger, prompt) : 0;
  }

  /** This router's prompts that end at a rank within the last so many tokens that are to be computed there. */
  endingWithin(place: RankPlace, tokens: number): number {
    return this.#at(place)?.endingWithin(tokens) ?? 0;
  }

  #at({ worker, rank }: RankPlace): RankLedger | undefined {
    return this.#workers.get(worker)?.ranks[rank];
  }
}

function createLedgers(ranks: number): RankLedger[] {
  return Array.from({ length: ranks }, () => new RankLedger());
}

/** Cards come behind records: what is known of a worker may grow while it runs. */
function describe(ledger: RankLedger, { scope, totalBlocks }: FleetWorker): void {
  ledger.blockTokens = scope?.blockTokens ?? 0;
  ledger.totalBlocks = totalBlocks ?? ledger.totalBlocks;
}
