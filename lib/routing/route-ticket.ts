import type { TransferSeen } from "#lib/perf/transfer-times";
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
  /** Where it went. */
  readonly to: bigint;
  /** Who has the blocks that come there; undefined where none come, or nobody knows whose. */
  readonly from: bigint | undefined;
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
  /** Blocks came to it. */
  transferred(prompt: PlacedPrompt, seen: TransferSeen): void;
  /** A choice has ended, with so many tokens, called once for each. One at least where the first came: what ends an answer is no part of it. */
  ended(prompt: PlacedPrompt, choice: number, tokens: number): void;
}

/** Of an ask that was not placed. */
export const NO_TICKET: Ticket = { note() {}, cancel() {} };

/** Of an ask that was placed: knows which of its choices are open. */
export class RouteTicket implements Ticket {
  readonly #listener: PromptListener;
  readonly #open: Map<number, OpenChoice>;
  /** Decode legs that began with their prompts. */
  readonly #ahead: Map<number, OpenChoice>;

  constructor(prompts: readonly PlacedPrompt[], listener: PromptListener, ahead: readonly PlacedPrompt[] = []) {
    this.#listener = listener;
    this.#open = openChoices(prompts);
    this.#ahead = openChoices(ahead);
  }

  note(note: RouteNote): void {
    const all = note.ahead ? this.#ahead : this.#open;
    const open = all.get(note.choice);
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
      case "transferred":
        this.#listener.transferred(prompt, note.transfer);
        return;
      case "ended":
        all.delete(note.choice);
        this.#listener.ended(prompt, note.choice, Math.max(note.tokens ?? open.tokens, open.hasBegun ? 1 : 0));
    }
  }

  cancel(): void {
    for (const choice of [...this.#open.keys()]) this.note({ kind: "ended", choice });
    for (const choice of [...this.#ahead.keys()]) this.note({ kind: "ended", choice, ahead: true });
  }
}

function openChoices(prompts: readonly PlacedPrompt[]): Map<number, OpenChoice> {
  const open = (prompt: PlacedPrompt) => ({ prompt, tokens: 0, hasBegun: false });
  return new Map(prompts.flatMap((prompt) => prompt.kept.choices.map((choice) => [choice, open(prompt)] as const)));
}
