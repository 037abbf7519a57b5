import type { Disaggregation } from "#lib/routing/legs/disaggregation";
import type { Rung } from "#lib/transfer/rung";
import type { StatorOptions } from "#services/cli/compose/library";
import { nixlHere } from "../nixl.ts";

/** A worker of a way. Workers with the same word share a process. */
export interface WayWorker {
  readonly process: string;
  readonly role: "aggregated" | "prefill" | "decode";
  /** A bit of each block that it gives to others is another one. */
  readonly meddles?: boolean;
  /** What it is told beside the rest. */
  readonly options?: StatorOptions;
}

/** What happens to the workers of the process `c` while requests run. */
export type Disturbance = "kill" | "drain";

/** How the answers of a way have to be. */
export type Expectation =
  /** Those of one worker that nobody disturbs. */
  | "same"
  /** The same, although blocks are damaged on their way: that is found. */
  | "found"
  /** Others where a block came that was damaged: nobody looks. The gate has to tell. */
  | "wrong";

/** One way by which answers come about. */
export interface GateWay {
  readonly name: string;
  readonly workers: readonly WayWorker[];
  readonly split?: Partial<Disaggregation>;
  /** The way that all blocks take; undefined: none move. */
  readonly rung?: Rung | undefined;
  readonly disturbance?: Disturbance;
  readonly expects: Expectation;
}

/** Ways between two processes, and the one within a process. */
function readers(rung: Rung, owner: Partial<WayWorker> = {}, options: StatorOptions = {}): WayWorker[] {
  const nixl = { "transfer.nixl": rung === "nixl" ? nixlHere() : "none" };
  return [
    { process: "a", role: "prefill", ...owner, options: nixl },
    {
      process: rung === "in-process" ? "a" : "b",
      role: "decode",
      options: { "transfer.rung": rung, ...nixl, ...options },
    },
  ];
}

/** All ways, by the rungs that work here. Those behind the first ones have no more to move than some blocks. */
export function gateWays(rungs: readonly Rung[]): GateWay[] {
  const best = rungs.find((rung) => rung !== "in-process") ?? "grpc";
  const moved = [...readers(best), { process: "c", role: "decode", options: { "transfer.rung": best } } as const];
  return [
    { name: "one worker", workers: [{ process: "b", role: "aggregated" }], expects: "same" },
    ...rungs.map((rung): GateWay => ({ name: `two workers, ${rung}`, workers: readers(rung), rung, expects: "same" })),
    { name: "both at once", workers: readers(best), rung: best, split: { bootstrap: true }, expects: "same" },
    { name: "killed mid-answer", workers: moved, rung: best, disturbance: "kill", expects: "same" },
    { name: "told to go mid-answer", workers: moved, rung: best, disturbance: "drain", expects: "same" },
    ...rungs.map(
      (rung): GateWay => ({
        ...{ name: `a bit flips, ${rung}`, workers: readers(rung, { meddles: true }), rung, expects: "found" },
      }),
    ),
    ...rungs.map((rung): GateWay => {
      const workers = readers(rung, { meddles: true }, { "transfer.checksum": false });
      return { name: `nobody looks, ${rung}`, workers, rung, expects: "wrong" };
    }),
  ];
}
