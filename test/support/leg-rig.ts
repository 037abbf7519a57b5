import { create } from "@bufbuild/protobuf";
import { KvSessionSchema, type TransferReport, TransferReportSchema } from "#gen/stator/worker/v1/link_pb";
import type { LinkFinish, StepLogprobs } from "#lib/link/link";
import type { Leg, Place, RouteNote } from "#lib/routing/router";
import type { LifeEffect, LifeEvent } from "#lib/serving/life-event";
import { routeAsk } from "#lib/serving/route-ask";
import { stepLife, takeTokens } from "#lib/serving/step-life";
import { LifeRig, lost } from "./life-rig.ts";

const NUMBERS = { stopToken: undefined, promptTokens: 3, cachedTokens: 0, completionTokens: 0, error: undefined };

/** A place of the test's choosing. */
export const spot = (worker: bigint) =>
  ({ target: { worker, rank: undefined }, weights: "w", decision: { rule: "pinned" } }) as const;

/** A request whose answer goes in two legs, moved by hand. */
export class LegRig extends LifeRig {
  /** What the router was told, in short. */
  readonly notes: RouteNote[] = [];

  override tell(event: LifeEvent): LifeEffect[] {
    const effects = stepLife(this.life, event, this.nowMs);
    for (const effect of effects) if (effect.kind === "note") this.notes.push(effect.note);
    return effects.filter(({ kind }) => kind !== "note");
  }

  /** Every choice that waits is sent there for a leg, and perhaps ahead to another worker. */
  sent(worker: bigint, leg: Leg, ahead?: bigint): LifeEffect[] {
    const { choices } = routeAsk(this.life);
    const place: Place = { choices, ...spot(worker), leg, ...(ahead !== undefined && { ahead: spot(ahead) }) };
    return this.tell({ kind: "placed", places: [place] });
  }

  /** Its worker took it. */
  taken(attempt: number, cachedTokens = 0, choice = 0): LifeEffect[] {
    return this.tell({ kind: "accepted", choice, attempt, cachedTokens });
  }

  /** The terminal frame of a prompt that is kept for so long. */
  kept(attempt: number, leaseMs = 1_000, choice = 0): LifeEffect[] {
    const session = create(KvSessionSchema, { sessionId: `s${attempt}`, leaseMs });
    return this.ends(attempt, { reason: "length", session }, choice);
  }

  /** A terminal frame. */
  ends(attempt: number, finish: Partial<LinkFinish>, choice = 0): LifeEffect[] {
    return this.tell({ kind: "finished", choice, attempt, finish: { reason: "end", ...NUMBERS, ...finish } });
  }

  /** Its worker is lost. */
  dies(attempt: number, { choice = 0, died = false, accepted = true } = {}): LifeEffect[] {
    return this.tell({ kind: "lost", choice, attempt, error: lost, accepted, died });
  }

  /** Tokens of an attempt; those that are told at once. */
  says(attempt: number, tokens: number[], logprobs?: StepLogprobs, choice = 0): number[] | undefined {
    const frame = { tokens: Uint32Array.from(tokens), start: 0, end: tokens.length, nowMs: this.nowMs, logprobs };
    const view = takeTokens(this.life, { choice, attempt }, frame);
    return view && [...view];
  }

  /** A prompt computed at worker 1 with the token 7, of attempt 1. */
  prefilled(leaseMs?: number): LifeEffect[] {
    this.sent(1n, "prefill");
    this.taken(1, 2);
    this.says(1, [7]);
    return this.kept(1, leaseMs);
  }
}

/** What the worker of an answer says of the blocks. */
export function report(reason = ""): TransferReport {
  const times = { queueUs: 1_000, durationUs: 4_000 };
  return create(TransferReportSchema, { blocks: 3, bytes: 96n, rung: "shared-memory", ...times, reason });
}
