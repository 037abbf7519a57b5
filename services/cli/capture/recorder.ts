import { unlinkSync, writeFileSync } from "node:fs";
import type { CapturedPrompt, CapturedRank, CaptureHeader, CaptureState } from "#gen/stator/router/v1/router_pb";
import { printId } from "#lib/base/bytes";
import { type AboutRank, aboutPath, type CaptureAbout, type CaptureCounts } from "./about.ts";
import { ArrivalOrder, type Numbered } from "./arrival-order.ts";
import type { Names } from "./names.ts";
import { partsOf, rowsOf } from "./row.ts";
import { TraceFile } from "./trace-file.ts";

/** Where a capture is written and with what bounds. */
export interface RecorderOptions {
  /** The trace, which is not there yet; beside it `PATH.about.json`. */
  readonly path: string;
  /** Bytes of the trace at most. */
  readonly maxBytes: number;
  /** Names of blocks and sessions. */
  readonly names: Names;
  /** What they are, for whoever reads the file: numbers or salted. */
  readonly naming: string;
  /** Prompts that are held back until earlier ones have ended. */
  readonly held: number;
}

/** A prompt, and its place in the order. */
interface Held extends Numbered {
  readonly prompt: CapturedPrompt;
}

/** How a capture ended. */
export interface Ending {
  /** Why. */
  readonly ended: string;
  /** How long it went on. */
  readonly seconds: number;
}

/** Writes what a frontend tells of its decisions as a trace, in the order in which requests came. */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #file: TraceFile;
  readonly #order: ArrivalOrder<Held>;
  readonly #ranks = new Map<string, CapturedRank>();
  #header: CaptureHeader | undefined;
  #state: Pick<CaptureState, "open" | "lost" | "leftOut"> = { open: 0n, lost: 0n, leftOut: 0n };
  #rows = 0;
  #decisions = 0;
  #withoutAnswer = 0;
  #isFull = false;

  /** Opens the file. Throws BAD_CONFIG. */
  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#file = new TraceFile(options.path, options.maxBytes);
    this.#order = new ArrivalOrder(options.held);
  }

  /** The frontend has said how it chooses. */
  get hasBegun(): boolean {
    return this.#header !== undefined;
  }

  /** A row did not fit any more: nothing is written from there on. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** What was counted so far. */
  get counts(): CaptureCounts {
    const { open, lost, leftOut } = this.#state;
    return {
      rows: this.#rows,
      bytes: this.#file.bytes,
      open: Number(open),
      lost: Number(lost),
      late: this.#order.late,
      left_out: Number(leftOut),
      without_answer: this.#withoutAnswer,
      decisions: this.#decisions,
      forgotten_names: this.#options.names.forgotten,
    };
  }

  /** How it is chosen; said again at the end, with the ranks as they are known then. */
  header(header: CaptureHeader): void {
    this.#header ??= header;
    for (const rank of header.ranks) this.#ranks.set(`${rank.worker}/${rank.rank}`, rank);
  }

  /** A prompt whose request has ended. */
  prompt(prompt: CapturedPrompt): void {
    const [number, openFrom] = [Number(prompt.number), Number(prompt.openFrom)];
    for (const { prompt: next } of this.#order.add({ number, openFrom, prompt })) this.#write(next);
  }

  /** How the capture stands. */
  state(state: CaptureState): void {
    this.#state = state;
    this.#file.flush();
  }

  /** Writes what is held back, and what there is to say about the trace. Of one that never began nothing is left. */
  close(ending: Ending): void {
    for (const { prompt } of this.#order.rest()) this.#write(prompt);
    this.#file.close();
    if (!this.#header) {
      unlinkSync(this.#options.path);
      return;
    }
    const about = JSON.stringify(this.#about(this.#header, ending), undefined, 1);
    writeFileSync(aboutPath(this.#options.path), `${about}\n`, { mode: 0o600 });
  }

  #write(prompt: CapturedPrompt): void {
    if (this.#isFull) return;
    const rows = rowsOf(prompt, this.#header?.blockTokens ?? 1, this.#options.names);
    if (rows.length === 0) this.#withoutAnswer++;
    for (const row of rows) {
      this.#isFull ||= !this.#file.add(JSON.stringify(row));
      if (this.#isFull) return;
      this.#rows++;
      if (row.stator.decision) this.#decisions++;
    }
  }

  #about(header: CaptureHeader, { ended, seconds }: Ending): CaptureAbout {
    const { version, startedUnixMs, blockTokens, hashScheme, rule, constants } = header;
    return {
      version,
      started: new Date(Number(startedUnixMs)).toISOString(),
      seconds,
      ended,
      block_size: blockTokens,
      hash_scheme: hashScheme,
      names: this.#options.naming,
      ...this.counts,
      ...{ rule, constants },
      ranks: [...this.#ranks.values()].map(printRank),
    };
  }
}

function printRank({ worker, rank, weights, rule, times, ...known }: CapturedRank): AboutRank {
  return {
    ...{ worker: printId(worker), rank, weights, rule },
    block_size: known.blockTokens ?? null,
    reuse_tokens: known.reuseTokens,
    total_blocks: known.totalBlocks === undefined ? null : Number(known.totalBlocks),
    max_running_requests: known.maxRunningRequests ?? null,
    times: times ? partsOf(times) : null,
    timed_passes: Number(known.timedPasses),
  };
}
