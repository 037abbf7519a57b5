import type { KeptDecision } from "./explain/decision-ring.ts";
import type { Booking } from "./ranks.ts";
import type { RouteNote, Ticket } from "./router.ts";

/** A choice that was placed, until it ends. */
export interface OpenChoice {
  /** What it takes at its rank. */
  readonly booking: Booking;
  /** Why it went there; what comes of it is written there. */
  readonly kept: KeptDecision;
  /** The session that it belongs to; undefined for none. */
  readonly session: bigint | undefined;
  /** It is the choice by which its decision is judged. */
  readonly isFirst: boolean;
  /** Tokens of its answer, as told last. */
  tokens: number;
}

/** Told what becomes of placed choices. */
export interface ChoiceListener {
  /** A worker found so many tokens of the prompt in its cache. */
  accepted(choice: OpenChoice, cachedTokens: number): void;
  /** Its prompt is computed. */
  firstToken(choice: OpenChoice): void;
  /** Nothing of it runs any more; called once for each. */
  ended(choice: OpenChoice): void;
}

/** Of an ask that was not placed. */
export const NO_TICKET: Ticket = { note() {}, cancel() {} };

/** Of an ask that was placed: knows which of its choices are open. */
export class RouteTicket implements Ticket {
  readonly #listener: ChoiceListener;
  readonly #open: Map<number, OpenChoice>;

  constructor(open: Map<number, OpenChoice>, listener: ChoiceListener) {
    this.#open = open;
    this.#listener = listener;
  }

  note(note: RouteNote): void {
    const open = this.#open.get(note.choice);
    if (!open) return;
    switch (note.kind) {
      case "accepted":
        open.booking.accepted(note.cachedTokens);
        this.#listener.accepted(open, note.cachedTokens);
        return;
      case "first token":
        open.booking.firstToken();
        this.#listener.firstToken(open);
        return;
      case "tokens":
        open.tokens = note.tokens;
        open.booking.tokens(note.tokens);
        return;
      case "ended":
        this.#open.delete(note.choice);
        open.booking.ended();
        this.#listener.ended(open);
    }
  }

  cancel(): void {
    for (const choice of [...this.#open.keys()]) this.note({ kind: "ended", choice });
  }
}
