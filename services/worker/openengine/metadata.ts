import { StatorError } from "#lib/base/errors";
import type { CallContext } from "#lib/rpc/call";

/** What the headers of openengine.v1 say about a call. */
export interface CallHeaders {
  /** Higher is more urgent; 0 unless given. */
  readonly priority: number;
  /** As W3C Trace Context writes it, well formed; undefined when the call has none. */
  readonly traceparent: string | undefined;
}

const ROUTING_KEY = /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/;
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[0-9a-f-]*)?$/;
/** One member of a tracestate, or none. Members are cut at commas first: one pattern for the list would try every way. */
const TRACESTATE_MEMBER = /^[^=]+=[^=]+$/;

function isTracestate(value: string): boolean {
  return (
    value.length <= 2048 && value.split(",").every((member) => member.trim() === "" || TRACESTATE_MEMBER.test(member))
  );
}

/**
 * Reads the headers that openengine.v1 defines: each at most once and well formed, else INVALID_ARGUMENT. Repeated headers
 * arrive joined by ", ", so that is no part of any of them but tracestate, which is a list itself.
 */
export function readHeaders({ metadata }: Pick<CallContext, "metadata">): CallHeaders {
  const single = (name: string, isWell: (value: string) => boolean): string | undefined => {
    const [value, ...more] = metadata.all(name);
    if (value === undefined || (more.length === 0 && isWell(value))) return value;
    throw new StatorError("INVALID_ARGUMENT", { detail: `${name}: expected one well-formed value` });
  };
  single("openengine-routing-key", (key) => key.length <= 1024 && ROUTING_KEY.test(key) && !key.includes(", "));
  const traceparent = single("traceparent", (value) => TRACEPARENT.test(value));
  single("tracestate", isTracestate);
  const rank = single("openengine-target-dp-rank", (value) => isWhole(value, 0, 0xffff_ffff));
  if (rank !== undefined && Number(rank) !== 0) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "openengine-target-dp-rank: this worker has rank 0 only" });
  }
  const priority = single("openengine-priority", (value) => isWhole(value, -0x8000_0000, 0x7fff_ffff));
  return { priority: Number(priority ?? "0"), traceparent };
}

function isWhole(text: string, least: number, most: number): boolean {
  const value = Number(text);
  return /^-?\d{1,10}$/.test(text) && value >= least && value <= most;
}
