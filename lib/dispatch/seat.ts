import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import type { Step } from "#gen/stator/worker/v1/link_pb";
import type { CallerLink, LinkState } from "#lib/link/link";
import type { AskKind } from "#lib/routing/router";
import type { TensorWay } from "./tensor-way.ts";

/** Where a worker is, as this frontend uses it. Only `ready` takes new requests. */
export type SeatPhase = "idle" | "connecting" | "ready" | "suspect" | "proving" | "draining" | "lost";

/** Why a seat ends: its worker left, another incarnation of it came, or nothing of it is waited for any more. */
export type Retirement = "left" | "replaced" | "closed";

/** One incarnation of one worker, and what goes there: requests over a link, or tensors past it. */
export interface Seat {
  /** As it was published last. */
  readonly record: InstanceRecord;
  /** Its instance. */
  readonly worker: bigint;
  /** Where it is now. */
  readonly phase: SeatPhase;
  /** When it last took requests, or its record began to say that it would; undefined before. */
  readonly expectedMs: number | undefined;
  /** It answered once. Who cannot be reached is nobody's worker, whatever its record says. */
  readonly reached: boolean;
  /** Requests of this frontend that are open there. */
  readonly openRequests: number;
  /** For lists of workers. */
  readonly linkState: LinkState;
  /** Why that is not ready, one sentence; empty while it is, and where nobody said. */
  readonly linkReason: string;
  /** undefined while there is none, and at a worker of tensors always. */
  readonly link: CallerLink | undefined;
  /** Past the link; undefined while there is none, and at a worker without tensors always. */
  readonly way: TensorWay | undefined;
  /** Passes that it told of. */
  readonly steps: number;
  /** The last of them; undefined before. Borrowed. */
  readonly lastStep: Step | undefined;
  /** Whether an ask of this kind can go there at all. */
  carries(kind: AskKind): boolean;
  /** Tells the worker that nobody fetches what it keeps under this name; where it does not hear of it, its lease ends that. */
  release(sessionId: string): void;
  /** A newer record of the same incarnation. */
  update(record: InstanceRecord): void;
  /** Takes nothing new, and gives back what carries its requests: at once when it is closed, else when they allow it. */
  retire(why: Retirement): void;
}
