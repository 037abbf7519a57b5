import { choice, decimal, flag, integer, MILLIS, type Options, PORT, text, type Values } from "#lib/base/option";
import { TRANSFER_LIMITS, type TransferLimits } from "./limits.ts";
import { PIN_CHOICES } from "./pinned-staging.ts";
import { RUNGS } from "./rung.ts";

/** What is decided of the KV blocks that move between workers. */
export const TRANSFER_OPTIONS = {
  "transfer.rung": choice({
    initial: "best",
    choices: ["best", ...RUNGS],
    doc: "The way by which KV blocks come from other workers: the best that works for both, or this one alone.",
  }),
  "transfer.checksum": flag({
    initial: TRANSFER_LIMITS.checksum,
    doc: "Whether KV blocks are checked where they come in.",
  }),
  "transfer.lease-ms": integer({
    ...MILLIS,
    initial: TRANSFER_LIMITS.leaseMs,
    doc: "How long the blocks of a prefill are kept for whoever goes on from them, after that was last heard of.",
  }),
  "transfer.deadline-ms": integer({
    ...MILLIS,
    initial: TRANSFER_LIMITS.deadlineMs,
    doc: "How long blocks of a session may take to come; what has not come then is computed again.",
  }),
  "transfer.stall-ms": integer({
    ...MILLIS,
    initial: TRANSFER_LIMITS.stallMs,
    doc: "How long a worker whose blocks are due may say nothing before the rest is computed again.",
  }),
  "transfer.room-ms": integer({
    ...MILLIS,
    initial: TRANSFER_LIMITS.roomMs,
    doc: "How long one waits for a prefill that begins at the same time as the decode.",
  }),
  "transfer.promote-ms": integer({
    ...MILLIS,
    initial: TRANSFER_LIMITS.promoteMs,
    doc: "When a way that has failed is tried again.",
  }),
  "transfer.idle-ms": integer({
    ...MILLIS,
    initial: TRANSFER_LIMITS.idleMs,
    doc: "How long a worker's memory stays open of which nothing is wanted; one that has gone is forgotten by this.",
  }),
  "transfer.max-sessions": integer({
    initial: TRANSFER_LIMITS.maxSessions,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Prefills whose blocks are kept at once for others; beyond, the worker takes no prefill for others.",
  }),
  "transfer.max-pinned-share": decimal({
    initial: TRANSFER_LIMITS.maxPinnedShare,
    least: 0,
    most: 1,
    doc: "Share of a worker's KV blocks that may be kept for others; beyond, it takes no prefill for others.",
  }),
  "transfer.max-fetches": integer({
    initial: TRANSFER_LIMITS.maxFetches,
    least: 1,
    most: 1_000_000,
    placeholder: "COUNT",
    doc: "Requests whose blocks may be on their way in at once; those of more are computed again.",
  }),
  "transfer.region-bytes": integer({
    initial: TRANSFER_LIMITS.regionBytes,
    least: 4096,
    most: 2 ** 44,
    unit: "bytes",
    doc: "Memory for blocks on their way out, and as much for those on their way in; at least four blocks each.",
  }),
  "transfer.pin": choice({
    initial: TRANSFER_LIMITS.pin,
    choices: PIN_CHOICES,
    doc: "Whether blocks pass through pinned memory between a GPU and this worker: `auto` pins it where CUDA computes, `always` wherever blocks pass through memory of an engine. What cannot be pinned is told, and pageable memory serves.",
  }),
  "transfer.cuda-driver": text({
    initial: "libcuda.so.1",
    placeholder: "PATH",
    doc: "The CUDA driver that pins memory, as the loader finds it or by its path.",
  }),
  "transfer.tcp-port": integer({
    ...PORT,
    initial: 0,
    doc: "Port where other workers read blocks over TCP; 0 takes a free one. It is open where the worker's gRPC port is without TLS.",
  }),
  "transfer.nixl": text({
    initial: undefined,
    placeholder: "PATH",
    doc: "libnixl_capi.so, its folder, or the folder of Python packages with a wheel of NIXL; `none`: without. Unless given, it is looked for where it is installed, but not with TLS: its connections have none.",
  }),
} as const satisfies Options;

/** The limits as the options say. */
export function readTransferLimits(values: Values<typeof TRANSFER_OPTIONS>): TransferLimits {
  const rung = values["transfer.rung"];
  return {
    rung: rung === "best" ? undefined : rung,
    checksum: values["transfer.checksum"],
    leaseMs: values["transfer.lease-ms"],
    deadlineMs: values["transfer.deadline-ms"],
    stallMs: values["transfer.stall-ms"],
    roomMs: values["transfer.room-ms"],
    promoteMs: values["transfer.promote-ms"],
    idleMs: values["transfer.idle-ms"],
    maxSessions: values["transfer.max-sessions"],
    maxPinnedShare: values["transfer.max-pinned-share"],
    maxFetches: values["transfer.max-fetches"],
    batchBytes: TRANSFER_LIMITS.batchBytes,
    regionBytes: values["transfer.region-bytes"],
    pin: values["transfer.pin"],
  };
}
