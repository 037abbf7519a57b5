import { create } from "@bufbuild/protobuf";
import {
  type KvSession,
  KvSessionSchema,
  RequestKind,
  type Submit,
  type TransferReport,
  TransferReportSchema,
} from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";

/** How long practice workers keep what they computed. */
const LEASE_MS = 10_000;

/** Where practice workers that share it find each other's prompts: their whole data plane. */
export class PracticeRooms {
  /** Sessions that nobody fetched. */
  readonly #kept = new Set<string>();
  /** First tokens, by room; null where the prompt came to nothing. */
  readonly #rooms = new Map<bigint, readonly number[] | null>();

  /** Sessions that were kept and not fetched. */
  get keptSessions(): number {
    return this.#kept.size;
  }

  /** A prompt is computed: the session that its terminal frame tells. Whoever waits in its room goes on. */
  keep(
    submit: Submit,
    about: { readonly instanceId: bigint; readonly incarnation: bigint },
    firstTokens: number[],
  ): KvSession {
    const sessionId = `${about.instanceId}/${submit.requestId}/${submit.choice}/${submit.handle}`;
    this.#kept.add(sessionId);
    if (submit.room) this.#rooms.set(submit.room.number, firstTokens);
    const { instanceId, incarnation } = about;
    const firstTokenIds = writeU32(firstTokens);
    return create(KvSessionSchema, {
      sessionId,
      transfer: "stator",
      instanceId,
      incarnation,
      firstTokenIds,
      leaseMs: LEASE_MS,
    });
  }

  /** It ended without: nobody in its room goes on. */
  fail({ kind, room }: Submit): void {
    if (kind === RequestKind.PREFILL && room && !this.#rooms.has(room.number)) this.#rooms.set(room.number, null);
  }

  /** How many tokens its prompt's worker drew of a request that waits in a room; undefined while it waits, null where none come. */
  drawnIn({ room }: Submit): number | null | undefined {
    const drawn = room && this.#rooms.get(room.number);
    return drawn === null ? null : drawn?.length;
  }

  /** What becomes of the blocks that a request goes on from; undefined of one that has none to go on from. */
  fetch({ session, room, kind }: Submit): TransferReport | undefined {
    if (kind === RequestKind.PREFILL || !(session || room)) return undefined;
    const isThere = room !== undefined || (session !== undefined && this.#kept.delete(session.sessionId));
    return create(TransferReportSchema, isThere ? { blocks: 1, rung: "in-process" } : { reason: "NOT_FOUND" });
  }
}
