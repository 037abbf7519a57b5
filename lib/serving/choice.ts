import type { TokenDecoder } from "#lib/text/detokenizer";
import { StopMatcher, type StopStrings } from "#lib/text/stop";
import type { ScoredText, ServingLogprobs } from "./answer.ts";
import { ScoredTokens, type TokenPieces } from "./scored-tokens.ts";

/** How the tokens of a choice become text. */
export interface ChoiceText extends TokenPieces {
  /** A decoder of its own for one choice: it keeps bytes of unfinished characters. */
  createDecoder(): TokenDecoder;
}

/** What a choice is told with. */
export interface ChoiceOptions {
  /** Borrowed; the choices of a request share it. */
  readonly text: ChoiceText;
  /** Compiled once for all choices; undefined without stop strings. */
  readonly stops: StopStrings | undefined;
  /** The stop string, or the text of the stop token, stays at the end of the text. */
  readonly includeStop: boolean;
  /** A stop string ends the choice when it is complete behind so many tokens. */
  readonly minTokens: number;
  /** Set for a choice that is told token by token: code points of the text before its first one. */
  readonly scoredFrom?: number | undefined;
}

const NO_TOKENS = new Uint32Array(0);

/**
 * One choice of an answer: its tokens become text, in which nothing of a stop string ever shows, and which of them count.
 * Where a worker gives text its pieces are what tokens are elsewhere.
 * Stop strings are found as tokens come, however late the text is taken; without them ids wait, four bytes each, until it
 * is. Whatever the frames and however it is taken, text, tokens and count are the same.
 */
export class Choice {
  /** Tokens of the answer so far: up to the one that completed a stop string. */
  counted = 0;
  /** No more tokens come: a stop string was found, or it was closed. */
  closed = false;
  readonly #text: ChoiceText;
  readonly #decoder: TokenDecoder;
  readonly #stop: StopMatcher | undefined;
  readonly #includeStop: boolean;
  readonly #minTokens: number;
  readonly #scored: ScoredTokens | undefined;
  /** Ids that wait to be decoded; none where stop strings or log-probabilities make them text at once. */
  #waiting = NO_TOKENS;
  #waitingFrom = 0;
  #waitingTo = 0;
  /** Text of tokens or pieces that wait, one for each: what each of them set free. */
  #texts: string[] = [];
  /** Pieces of text come, and no tokens. */
  #isText = false;
  #textsFrom = 0;
  /** UTF-16 units that came, and that were set free. */
  #rawUnits = 0;
  #freeUnits = 0;
  /** What comes behind the last token; undefined as long as it is not known. */
  #tail: string | undefined;
  #stopToken: number | undefined;

  constructor({ text, stops, includeStop, minTokens, scoredFrom }: ChoiceOptions) {
    this.#text = text;
    this.#decoder = text.createDecoder();
    this.#stop = stops && new StopMatcher(stops, includeStop);
    this.#includeStop = includeStop;
    this.#minTokens = minTokens;
    this.#scored = scoredFrom === undefined ? undefined : new ScoredTokens(text, scoredFrom);
  }

  /** The stop string that ended it. */
  get stopText(): string | undefined {
    return this.#stop?.matched;
  }

  /** Tokens that wait to be taken. */
  get waiting(): number {
    if (this.#scored) return this.#scored.count;
    return this.#stop || this.#isText ? this.#texts.length - this.#textsFrom : this.#waitingTo - this.#waitingFrom;
  }

  /** Whether everything was taken that came so far. */
  get drained(): boolean {
    return this.waiting === 0 && (!this.closed || this.#tail === "");
  }

  /** Takes the next tokens; copies them, and their log-probabilities when they are told. `closed` says whether they ended it. */
  push(tokens: Uint32Array, scores?: ServingLogprobs): void {
    if (this.closed) return;
    if (!this.#scored && !this.#stop) {
      this.#keep(tokens);
      return;
    }
    if (scores) this.#scored?.keep(scores);
    for (let at = 0; at < tokens.length && !this.closed; at++) {
      const { length } = this.#decoder;
      const raw = this.#decoder.push(tokens, at, at + 1);
      this.counted++;
      const free = this.#free(raw);
      if (this.#scored) this.#scored.add(tokens[at]!, raw, length);
      else this.#texts.push(free);
      if (this.stopText === undefined) continue;
      this.closed = true;
      this.#tail = "";
    }
  }

  /** Takes the next piece of text, from a worker of text. `closed` says whether it ended the choice. */
  pushText(piece: string): void {
    if (this.closed) return;
    this.#isText = true;
    this.counted++;
    this.#texts.push(this.#free(piece));
    if (this.stopText === undefined) return;
    this.closed = true;
    this.#tail = "";
  }

  /** No more tokens come. `stopToken`: the one that ended it, if one did. */
  close(stopToken?: number): void {
    if (this.closed) return;
    this.closed = true;
    this.#stopToken = stopToken;
    if (this.#scored || this.#stop) this.#tail = this.#end();
  }

  /** Text that the next `most` waiting tokens add; once it is closed, the last of them with all that was held back. */
  take(most: number): string {
    const text = this.#stop || this.#isText ? this.#takeTexts(most) : this.#decode(most);
    if (!this.closed || this.waiting > 0) return text;
    const tail = this.#tail ?? this.#end();
    this.#tail = "";
    return text + tail;
  }

  /** For a choice that is told token by token: the next one that may be told, at last what came behind them all. */
  takeScored(): ScoredText | undefined {
    const scored = this.#scored;
    if (!scored || !this.closed) return scored?.take(this.#freeUnits);
    const next = scored.takeLast(this.#freeUnits, this.stopText !== undefined);
    if (next || !this.#tail) return next;
    const text = this.#tail;
    this.#tail = "";
    return { text, token: undefined };
  }

  /** Keeps ids. Mostly it is one: setting it costs a fifth of copying an array of one. */
  #keep(tokens: Uint32Array): void {
    const needed = this.#waitingTo + tokens.length;
    if (needed > this.#waiting.length) {
      const bigger = new Uint32Array(Math.max(8, this.waiting * 2, this.waiting + tokens.length));
      bigger.set(this.#waiting.subarray(this.#waitingFrom, this.#waitingTo));
      this.#waitingTo -= this.#waitingFrom;
      this.#waitingFrom = 0;
      this.#waiting = bigger;
    }
    if (tokens.length === 1) this.#waiting[this.#waitingTo] = tokens[0]!;
    else this.#waiting.set(tokens, this.#waitingTo);
    this.#waitingTo += tokens.length;
    this.counted += tokens.length;
  }

  #decode(most: number): string {
    const from = this.#waitingFrom;
    const to = Math.min(this.#waitingTo, from + most);
    this.#waitingFrom = to;
    if (to === this.#waitingTo) this.#waitingFrom = this.#waitingTo = 0;
    return this.#decoder.push(this.#waiting, from, to);
  }

  #takeTexts(most: number): string {
    const from = this.#textsFrom;
    const to = Math.min(this.#texts.length, from + most);
    const text = to - from === 1 ? this.#texts[from]! : this.#texts.slice(from, to).join("");
    this.#textsFrom = to;
    if (to === this.#texts.length) {
      this.#texts = [];
      this.#textsFrom = 0;
    }
    return text;
  }

  /** What a text sets free, with the stop strings in view. */
  #free(raw: string): string {
    const free = this.#stop ? this.#stop.push(raw, this.counted > this.#minTokens) : raw;
    this.#rawUnits += raw.length;
    this.#freeUnits += free.length;
    return free;
  }

  /** The text behind the last token, with what was held back; for scored tokens, which tell that themselves, without. */
  #end(): string {
    const before = this.#rawUnits;
    let raw = this.#decoder.end();
    if (this.#includeStop && this.#stopToken !== undefined) {
      raw += Buffer.from(this.#text.piece(this.#stopToken)).toString("utf8");
    }
    let free = this.#free(raw);
    if (this.#stop && this.stopText === undefined) {
      const rest = this.#stop.end();
      this.#freeUnits += rest.length;
      free += rest;
    }
    return this.#scored ? raw.slice(0, Math.max(0, this.#freeUnits - before)) : free;
  }
}
