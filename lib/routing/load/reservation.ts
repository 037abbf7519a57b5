import { assert } from "#lib/base/errors";
import type { RouteNote } from "../router.ts";
import type { RankLedger, WaitingPrompt } from "./rank-ledger.ts";
import { wordsOf } from "./shared-blocks.ts";

/** As much of a prompt as its load depends on. */
export interface LoadPrompt {
  /** Its tokens. */
  readonly promptTokens: number;
  /** Choices of it that go to one place together: they share the prompt. */
  readonly choices: readonly number[];
  /**
   * Local hashes of its complete blocks, from the first on, as far as somebody has hashed them: so far its blocks can be
   * those of others, and the rest counts as its own. Borrowed.
   */
  readonly contents: BigUint64Array;
}

/** A prompt that goes somewhere. */
export interface Placement extends LoadPrompt {
  /** Tokens that the place is expected to have; what it says when it accepts goes before that. */
  readonly cachedTokens: number;
  /** That comes from elsewhere: what the place finds in its cache when it accepts says nothing of it. */
  readonly isPulled?: boolean;
  /** When it goes, on the router's clock. */
  readonly atMs: number;
}

/** One choice at its place. */
interface OpenChoice {
  isAccepted: boolean;
  hasFirstToken: boolean;
  /** Of its answer. */
  tokens: number;
}

/** Blocks that a prompt takes at most; 0 where nobody knows how long one is. */
function blocksOf(tokens: number, blockTokens: number): number {
  return blockTokens > 0 ? Math.ceil(tokens / blockTokens) : 0;
}

/** Blocks of a prompt that are complete. */
function completeBlocksOf(tokens: number, blockTokens: number): number {
  return blockTokens > 0 ? Math.floor(tokens / blockTokens) : 0;
}

/** Content hashes of complete blocks, as words. */
function contentOf({ promptTokens, contents }: LoadPrompt, blockTokens: number): Uint32Array {
  return wordsOf(contents.subarray(0, completeBlocksOf(promptTokens, blockTokens)));
}

/** Blocks that would be active at a rank beside those that are, if a prompt came there. Costs what it has in common. */
export function addedBlocks(ledger: RankLedger, prompt: LoadPrompt): number {
  const { blockTokens, shared } = ledger;
  const complete = completeBlocksOf(prompt.promptTokens, blockTokens);
  const tails = (blocksOf(prompt.promptTokens, blockTokens) - complete) * prompt.choices.length;
  // Of a prompt of which nobody has anything no block was hashed: there is nothing to compare.
  const common = prompt.contents.length > 0 ? shared.countShared(contentOf(prompt, blockTokens)) : 0;
  return complete - common + tails;
}

/**
 * What a placed prompt is counted as, from its placing to the end of its last choice. Every note changes sums by what it
 * changed; what comes twice, late or for a choice that has ended changes nothing.
 */
export class Reservation {
  readonly #ledger: RankLedger;
  readonly #promptTokens: number;
  /** The rank's when it was placed. */
  readonly #blockTokens: number;
  readonly #content: Uint32Array;
  readonly #choices: Map<number, OpenChoice>;
  readonly #onEnded: () => void;
  #cachedTokens: number;
  readonly #isPulled: boolean;
  readonly #waiting: WaitingPrompt;
  /** Some choice was accepted: what is cached is known. */
  #isAccepted = false;
  /** No choice has had its first token. */
  #isPrefilling = true;

  constructor(ledger: RankLedger, placement: Placement, onEnded: () => void) {
    const { promptTokens, cachedTokens, choices } = placement;
    assert(choices.length > 0, "somebody's answer ends a reservation");
    const { blockTokens, own } = ledger;
    this.#ledger = ledger;
    this.#promptTokens = promptTokens;
    this.#blockTokens = blockTokens;
    this.#cachedTokens = Math.min(cachedTokens, promptTokens);
    this.#isPulled = placement.isPulled ?? false;
    this.#content = contentOf(placement, blockTokens).slice();
    this.#onEnded = onEnded;
    this.#choices = new Map(
      choices.map((choice) => [choice, { isAccepted: false, hasFirstToken: false, tokens: 0 }] as const),
    );
    ledger.begin(placement.atMs);
    ledger.shared.add(this.#content);
    own.privateBlocks += this.#unknownBlocks + this.#choices.size * this.#answerBlocks(0);
    own.open += this.#choices.size;
    own.rawPrefillTokens += promptTokens;
    own.prefillTokens += promptTokens - this.#cachedTokens;
    this.#waiting = { tokens: promptTokens - this.#cachedTokens };
    ledger.wait(this.#waiting, placement.atMs);
  }

  /** Choices that have not ended. */
  get open(): number {
    return this.#choices.size;
  }

  /** What became of a choice. */
  note(note: RouteNote): void {
    const choice = this.#choices.get(note.choice);
    if (!choice) return;
    switch (note.kind) {
      case "accepted":
        this.#accept(choice);
        this.#correct(note.cachedTokens);
        return;
      case "first token":
        this.#accept(choice);
        this.#begin(choice);
        return;
      case "tokens":
        this.#grow(choice, note.tokens);
        return;
      case "ended":
        this.#end(note.choice, choice);
        return;
      // That its blocks came was counted on.
      case "transferred":
    }
  }

  /** Ends every choice. */
  cancel(): void {
    for (const [index, choice] of this.#choices) this.#end(index, choice);
  }

  /** Complete blocks of the prompt whose content nobody has hashed. */
  get #unknownBlocks(): number {
    return completeBlocksOf(this.#promptTokens, this.#blockTokens) - this.#content.length / 2;
  }

  /** Blocks of one choice behind the complete ones of the prompt. */
  #answerBlocks(tokens: number): number {
    const { promptTokens, blockTokens } = { promptTokens: this.#promptTokens, blockTokens: this.#blockTokens };
    return blocksOf(promptTokens + tokens, blockTokens) - completeBlocksOf(promptTokens, blockTokens);
  }

  #accept(choice: OpenChoice): void {
    if (choice.isAccepted) return;
    choice.isAccepted = true;
    const { own } = this.#ledger;
    own.accepted++;
    own.acceptedPrefilling++;
    own.acceptedPrefillTokens += this.#promptTokens;
  }

  /** The first that is accepted says what is cached; a later one may have found more, of what the first has computed. */
  #correct(cachedTokens: number): void {
    if (!this.#isPrefilling || this.#isPulled) return;
    const known = Math.min(cachedTokens, this.#promptTokens);
    const now = this.#isAccepted ? Math.max(known, this.#cachedTokens) : known;
    this.#isAccepted = true;
    this.#ledger.own.prefillTokens += this.#cachedTokens - now;
    this.#cachedTokens = now;
    this.#waiting.tokens = this.#promptTokens - now;
  }

  #begin(choice: OpenChoice): void {
    if (choice.hasFirstToken) return;
    choice.hasFirstToken = true;
    const { own } = this.#ledger;
    own.acceptedPrefilling--;
    own.acceptedPrefillTokens -= this.#promptTokens;
    own.decodeSequences++;
    own.decodeContextTokens += this.#promptTokens + choice.tokens;
    this.#endPrefill();
  }

  #endPrefill(): void {
    if (!this.#isPrefilling) return;
    this.#isPrefilling = false;
    this.#ledger.leave(this.#waiting);
    const { own } = this.#ledger;
    own.rawPrefillTokens -= this.#promptTokens;
    own.prefillTokens -= this.#promptTokens - this.#cachedTokens;
    own.startedTokens -= this.#promptTokens - this.#cachedTokens;
  }

  #grow(choice: OpenChoice, tokens: number): void {
    if (tokens <= choice.tokens) return;
    const { own } = this.#ledger;
    own.privateBlocks += this.#answerBlocks(tokens) - this.#answerBlocks(choice.tokens);
    if (choice.hasFirstToken) own.decodeContextTokens += tokens - choice.tokens;
    choice.tokens = tokens;
  }

  #end(index: number, choice: OpenChoice): void {
    this.#choices.delete(index);
    const { own, shared } = this.#ledger;
    own.open--;
    own.privateBlocks -= this.#answerBlocks(choice.tokens);
    if (choice.isAccepted) own.accepted--;
    if (choice.hasFirstToken) {
      own.decodeSequences--;
      own.decodeContextTokens -= this.#promptTokens + choice.tokens;
    } else if (choice.isAccepted) {
      own.acceptedPrefilling--;
      own.acceptedPrefillTokens -= this.#promptTokens;
    }
    if (this.#choices.size > 0) return;
    this.#endPrefill();
    own.privateBlocks -= this.#unknownBlocks;
    shared.remove(this.#content);
    this.#onEnded();
  }
}
