import { TransferRung } from "#gen/stator/worker/v1/payload_pb";

/** Ways by which bytes come from one process to another, best first. */
export const RUNGS = ["in-process", "shared-memory", "process-memory", "nixl", "tcp", "grpc"] as const;

/** The word of a way, as reports and metrics have it. */
export type Rung = (typeof RUNGS)[number];

const NUMBERS: Readonly<Record<Rung, TransferRung>> = {
  "in-process": TransferRung.IN_PROCESS,
  "shared-memory": TransferRung.SHARED_MEMORY,
  "process-memory": TransferRung.PROCESS_MEMORY,
  nixl: TransferRung.NIXL,
  tcp: TransferRung.TCP,
  grpc: TransferRung.GRPC,
};

/** A way as messages have it. */
export function rungNumber(rung: Rung): TransferRung {
  return NUMBERS[rung];
}

/** The way that a message names; undefined for one that is not known here. */
export function rungOf(number: TransferRung): Rung | undefined {
  return RUNGS.find((rung) => NUMBERS[rung] === number);
}

/** Ways that a message lists, best first; those that are not known here are left out. */
export function readRungs(numbers: readonly TransferRung[]): Rung[] {
  return RUNGS.filter((rung) => numbers.includes(NUMBERS[rung]));
}
