import type { KeptDecision } from "./explain/decision-ring.ts";
import type { Reservation } from "./load/reservation.ts";
import type { AskingRequest, RouteNote, Ticket } from "./router.ts";

/** A prompt that was placed, until its last choice ends. */
export interface PlacedPrompt {
  /** What it takes at its rank. */
  readonly reservation: Reservation;
  /** Why it went there; what comes of it is written there. */
  readonly kept: KeptDecision;
  /** The session that it belongs to; undefined for none. */
  readonly session: bigint | undefined;
  /** Whose prompt it is; undefined where nobody says. */
  readonly asker: AskingRequest | undefined;
}

/** A choice that was placed and has not ended. */
interface OpenChoice {
  readonly prompt: PlacedPrompt;
  /** Of its answer, as told last. */
  tokens: number;
  /** Its first token came. */
  hasBegun: boolean;
}

/** Told what becomes of placed prompts. */
export interface PromptListener {
  /** A worker took a choice, and found so many tokens of the prompt in its cache. */
  accepted(prompt: PlacedPrompt, cachedTokens: number): void;
  /** A choice has its first token. */
  firstToken(prompt: PlacedPrompt): void;
  /** A choice has ended, with so many tokens, called once for each. One at least where the first came: what ends an answer is no part of it. */
  ended(prompt: PlacedPrompt, choice: number, tokens: number): void;
}

/** Of an ask that was not placed. */
export const NO_TICKET: Ticket = { note() {}, cancel() {} };

/** Of an ask that was placed: knows which of its choices are open. */
export class RouteTicket implements Ticket {
  readonly #listener: PromptListener;
  readonly #open = new Map<number, OpenChoice>();

  constructor(prompts: readonly PlacedPrompt[], listener: PromptListener) {
    this.#listener = listener;
    for (const prompt of prompts) {
      for (const choice of prompt.kept.choices) this.#open.set(choice, { prompt, tokens: 0, hasBegun: false });
    }
  }

  note(note: RouteNote): void {
    const open = this.#open.get(note.choice);
    if (!open) return;
    const { prompt } = open;
    prompt.reservation.note(note);
    switch (note.kind) {
      case "accepted":
        this.#listener.accepted(prompt, note.cachedTokens);
        return;
      case "first token":
        open.hasBegun = true;
        this.#listener.firstToken(prompt);
        return;
      case "tokens":
        open.tokens = note.tokens;
        return;
      case "ended":
        this.#open.delete(note.choice);
        this.#listener.ended(prompt, note.choice, Math.max(note.tokens ?? open.tokens, open.hasBegun ? 1 : 0));
    }
  }

  cancel(): void {
    for (const choice of [...this.#open.keys()]) this.note({ kind: "ended", choice });
  }
}
