import { RequestKind } from "#gen/stator/worker/v1/link_pb";
import type { Chance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { HAND_OFF_FEATURES } from "#lib/link/features";
import type { SubmitInit } from "#lib/link/link";
import type { LifeEffect, RoomName } from "#lib/serving/life-event";
import type { Seat } from "./seat.ts";

type Submit = Extract<LifeEffect, { kind: "submit" }>;

/** The rooms of one request: one for each choice at a time, drawn when its first leg goes out. */
export class Rooms {
  readonly #chance: Chance;
  readonly #seat: (worker: bigint) => Seat | undefined;
  readonly #drawn: ({ readonly attempt: number; readonly number: bigint } | undefined)[] = [];

  /** Borrows both. */
  constructor(options: { readonly chance: Chance; readonly seat: (worker: bigint) => Seat | undefined }) {
    this.#chance = options.chance;
    this.#seat = options.seat;
  }

  /** What both legs are told. undefined where the worker of the prompt is not there any more, or meets nobody. */
  of(choice: number, { attempt, worker }: RoomName): SubmitInit["room"] {
    const host = this.#seat(worker);
    if (!host || !has(host, HAND_OFF_FEATURES.room)) return undefined;
    let drawn = this.#drawn[choice];
    if (drawn?.attempt !== attempt) this.#drawn[choice] = drawn = { attempt, number: this.#chance.id() };
    const { address, incarnation } = host.record;
    const colon = address.lastIndexOf(":");
    return {
      $typeName: "stator.worker.v1.Room",
      number: drawn.number,
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      incarnation,
    };
  }
}

/**
 * What of a submit its leg decides. A worker that cannot go on from what another keeps computes all itself. Throws
 * WORKER_OUTDATED where it cannot keep blocks for others, or cannot meet the other leg.
 */
export function legOf(
  { leg, choice, session, room }: Submit,
  { seat, rooms }: { readonly seat: Seat; readonly rooms: Rooms },
): Partial<SubmitInit> {
  if (leg === "whole" && !session) return {};
  const found = room && rooms.of(choice, room);
  if (leg === "prefill") {
    if (!has(seat, HAND_OFF_FEATURES.prefill)) {
      throw new StatorError("WORKER_OUTDATED", { what: "a prompt whose answer goes on elsewhere" });
    }
    return { kind: RequestKind.PREFILL, room: found };
  }
  if (room && !(found && has(seat, HAND_OFF_FEATURES.room))) {
    throw new StatorError("WORKER_OUTDATED", { what: "an answer whose prompt is being computed elsewhere" });
  }
  return { room: found, session: has(seat, HAND_OFF_FEATURES.session) ? session : undefined };
}

function has({ link }: Seat, feature: string): boolean {
  return link?.welcome?.features.includes(feature) ?? false;
}
