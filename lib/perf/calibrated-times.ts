import { BoundedFit } from "./bounded-fit.ts";
import type { PassRecord, PassShape, TimeModel, TimePrior } from "./time-model.ts";
import { decodePartMs, NO_TIME, passMsOf, prefillPartMs } from "./time-prior.ts";

/** What a calibration begins with. */
export interface CalibrationOptions {
  /** From the worker's card; undefined where it states none. */
  readonly prior: TimePrior | undefined;
  /** Tokens of a KV block, by which pools are measured; 0 where nobody knows. */
  readonly blockTokens: number;
}

/**
 * How a worker goes of which nobody knows anything: a pass that decodes takes what a hundred prompt tokens do. The unit is
 * none; the first pass that is seen sets it.
 */
const GUESS: TimePrior = { ...NO_TIME, prefillTokenMs: 1, decodeMs: 100, passTokens: 2_048 };

/** A pass that computes a piece of a prompt, and one that decodes: what they take is the size of what may be wrong. */
const PREFILL_SCALE = { prefillTokens: 512, prefillContextTokens: 1_024, decodeSequences: 0, decodeContextTokens: 0 };
const DECODE_SCALE = { prefillTokens: 0, prefillContextTokens: 0, decodeSequences: 8, decodeContextTokens: 4_096 };
const SCALE_POOL_TOKENS = 65_536;

/** How far a prior may be off as standard deviations: all of it together, one of its parts beside the others. */
const STATED = { commonSpread: 0.5, partSpread: 0.3, clip: 0.25 } as const;
const GUESSED = { commonSpread: 2, partSpread: 1, clip: 1 } as const;

/** Kinds of passes: with prompt tokens alone, decoding alone, both. */
const KINDS = { prefill: 0, decode: 1, both: 2 } as const;

/** What was seen counts 1 ÷ e in the factor after so many passes that were learned from. */
const FACTOR_WINDOW = 64;
/** Passes that were learned from, over which the usual distance of a prediction is measured. */
const DISTANCE_WINDOW = 16;
/** A pass counts as no more than so many usual distances away, as a logarithm; and no pass as more than the most. */
const CLIP_DISTANCES = 3;
const LEAST_CLIP = Math.LN2;
const MOST_DISTANCE = 3;
/** Every one of the first passes is solved for, and then one in so many: it is the dearer half of learning. */
const EAGER_PASSES = 64;
const LAZY_PASSES = 8;
/**
 * Of passes that decode alone, behind as many eager ones, one in so many is learned from: there is one for each token, it is
 * like the one before, and looking at each would cost a frontend more than it tells. A pass with a prompt is always learned
 * from.
 */
const DECODE_SAMPLE = 16;

/**
 * A worker's times, learned from its step records. A pass is the prior's prefill part and its decode part, each times a
 * factor, and what they may lack, linear in the shape. The prior holds where nothing was seen, moved by the factor
 * that was seen elsewhere. Passes that decode alone are learned from by a sample, so that one of them costs next to nothing;
 * learning from one takes a few microseconds, a prediction a tenth of one.
 */
export class CalibratedTimes implements TimeModel {
  readonly isGuess: boolean;
  readonly #stated: TimePrior | undefined;
  readonly #blockTokens: number;
  readonly #features = new Float64Array(9);
  /** The prior, or a guess of the size of the first pass. */
  #base: TimePrior;
  #fit: BoundedFit;
  /** Factors of the base's two parts, and what is added to them. */
  #prefill = 1;
  #decode = 1;
  #lack: TimePrior;
  #passes = 0;
  /** Passes that decoded alone, those among them that were passed over. */
  #decodePasses = 0;
  /** As stated, or the most of a pass that was learned from. */
  #passTokens: number;
  #seenMs = 0;
  #statedMs = 0;
  /** Mean distance of passes from their predictions lately, as a logarithm. */
  #distance: number;

  constructor({ prior, blockTokens }: CalibrationOptions) {
    this.isGuess = prior === undefined;
    this.#blockTokens = blockTokens;
    this.#passTokens = (prior ?? GUESS).passTokens;
    const isStated = prior !== undefined && sizeOf(prior).largestMs > 0;
    this.#stated = isStated ? prior : undefined;
    this.#base = prior ?? GUESS;
    this.#lack = { ...NO_TIME, passMs: this.#base.passMs };
    this.#distance = (isStated ? STATED : GUESSED).clip;
    this.#fit = createFit(isStated ? prior : GUESS, isStated ? STATED : GUESSED);
  }

  get passes(): number {
    return this.#passes;
  }

  get passTokens(): number {
    return this.#passTokens;
  }

  get factor(): number {
    return this.#statedMs > 0 ? this.#seenMs / this.#statedMs : 1;
  }

  passMs(shape: PassShape): number {
    const prefillMs = this.#prefill * prefillPartMs(this.#base, shape);
    return prefillMs + this.#decode * decodePartMs(this.#base, shape) + passMsOf(this.#lack, shape);
  }

  /**
   * Learns from a pass; borrows the record. Nothing is learned from one that took no time, computed nothing, or has others
   * joined to it, and of those that decode alone only from a sample, by their number alone. One that took far longer or
   * shorter than others lately counts as less far: a process may have paused.
   */
  observe(pass: PassRecord): void {
    const { durationUs, prefillTokens, decodeSequences, mergedSteps } = pass;
    const isPlain = durationUs > 0 && mergedSteps === 0;
    if (!isPlain || (prefillTokens === 0 && decodeSequences === 0)) return;
    if (prefillTokens === 0 && !this.#isInSample()) return;
    const kind = prefillTokens === 0 ? KINDS.decode : decodeSequences === 0 ? KINDS.prefill : KINDS.both;
    this.#learn(kind, pass);
  }

  /** Whether a pass that decodes alone is learned from; counts it. */
  #isInSample(): boolean {
    this.#decodePasses++;
    return this.#decodePasses <= EAGER_PASSES || this.#decodePasses % DECODE_SAMPLE === 0;
  }

  #learn(kind: number, pass: PassRecord): void {
    const { prefillTokens, prefillContextTokens, decodeSequences, decodeContextTokens } = pass;
    const poolTokens = pass.totalBlocks * this.#blockTokens;
    const shape = { prefillTokens, prefillContextTokens, decodeSequences, decodeContextTokens, poolTokens };
    const ms = pass.durationUs / 1000;
    if (this.#passes === 0 && this.#stated === undefined) this.#begin(ms / passMsOf(GUESS, shape));
    const near = this.#clip(ms, this.passMs(shape));
    this.#passes++;
    if (this.isGuess) this.#passTokens = Math.max(this.#passTokens, prefillTokens + decodeSequences);
    this.#compare(near, shape);
    this.#fit.add(kind, this.#featuresOf(shape), near);
    if (this.#passes <= EAGER_PASSES || this.#passes % LAZY_PASSES === 0) this.#solve();
  }

  #solve(): void {
    this.#fit.solve();
    const found = this.#fit.coefficients;
    this.#prefill = found[0]!;
    this.#decode = found[1]!;
    const prefill = { prefillMs: found[3]!, prefillTokenMs: found[4]!, prefillContextMs: found[5]! };
    const decode = { decodeMs: found[6]!, decodeSequenceMs: found[7]!, decodeContextMs: found[8]! };
    this.#lack = { ...NO_TIME, passMs: found[2]!, ...prefill, ...decode };
  }

  /** As far as known now, as a prior that says the same; exact where the one it began with has no least of decoding. */
  toPrior(): TimePrior {
    const [base, lack, prefill, decode] = [this.#base, this.#lack, this.#prefill, this.#decode];
    return {
      passMs: lack.passMs,
      prefillMs: prefill * base.prefillMs + lack.prefillMs,
      prefillTokenMs: prefill * base.prefillTokenMs + lack.prefillTokenMs,
      prefillSquareMs: prefill * base.prefillSquareMs,
      prefillContextMs: prefill * base.prefillContextMs + lack.prefillContextMs,
      decodeMs: decode * base.decodeMs + lack.decodeMs,
      decodeSequenceMs: decode * base.decodeSequenceMs + lack.decodeSequenceMs,
      decodeContextMs: decode * base.decodeContextMs + lack.decodeContextMs,
      decodeFillMs: decode * base.decodeFillMs,
      decodeFillSquareMs: decode * base.decodeFillSquareMs,
      decodeLeastMs: decode * base.decodeLeastMs,
      passTokens: this.#passTokens,
    };
  }

  /** Nothing was stated: the guess in the size of the first pass. */
  #begin(scale: number): void {
    this.#base = { ...GUESS, prefillTokenMs: scale * GUESS.prefillTokenMs, decodeMs: scale * GUESS.decodeMs };
    this.#fit = createFit(this.#base, GUESSED);
  }

  #clip(ms: number, expectedMs: number): number {
    if (expectedMs <= 0) return ms;
    const distance = Math.log(ms / expectedMs);
    const most = Math.max(LEAST_CLIP, CLIP_DISTANCES * this.#distance);
    this.#distance += (Math.min(Math.abs(distance), MOST_DISTANCE) - this.#distance) / DISTANCE_WINDOW;
    return Math.abs(distance) <= most ? ms : expectedMs * Math.exp(Math.sign(distance) * most);
  }

  #compare(ms: number, shape: PassShape): void {
    if (!this.#stated) return;
    const keep = 1 - 1 / FACTOR_WINDOW;
    this.#seenMs = this.#seenMs * keep + ms;
    this.#statedMs = this.#statedMs * keep + passMsOf(this.#stated, shape);
  }

  #featuresOf(shape: PassShape): Float64Array {
    const { prefillTokens, prefillContextTokens, decodeSequences, decodeContextTokens } = shape;
    const features = this.#features;
    features[0] = prefillPartMs(this.#base, shape);
    features[1] = decodePartMs(this.#base, shape);
    features[2] = 1;
    features[3] = prefillTokens > 0 ? 1 : 0;
    features[4] = prefillTokens;
    features[5] = prefillContextTokens;
    features[6] = decodeSequences > 0 ? 1 : 0;
    features[7] = decodeSequences;
    features[8] = decodeContextTokens;
    return features;
  }
}

/** What two usual passes take. */
function sizeOf(prior: TimePrior) {
  const prefillMs = passMsOf(prior, { ...PREFILL_SCALE, poolTokens: SCALE_POOL_TOKENS });
  const decodeMs = passMsOf(prior, { ...DECODE_SCALE, poolTokens: SCALE_POOL_TOKENS });
  return { prefillMs, decodeMs, largestMs: Math.max(prefillMs, decodeMs) };
}

/** Coefficients: the prior's two parts, each pass, then what may be lacking of prefill and of decode. */
function createFit(prior: TimePrior, how: typeof STATED | typeof GUESSED): BoundedFit {
  const { commonSpread, partSpread } = how;
  const size = sizeOf(prior);
  // Of a part of which the prior says nothing, the other part is the measure.
  const lackMs = (ms: number) => partSpread * Math.max(ms, partSpread * size.largestMs);
  const [prefillMs, decodeMs] = [lackMs(size.prefillMs), lackMs(size.decodeMs)];
  const { prefillTokens, prefillContextTokens } = PREFILL_SCALE;
  const { decodeSequences, decodeContextTokens } = DECODE_SCALE;
  const prefill = [prefillMs, prefillMs / prefillTokens, prefillMs / prefillContextTokens];
  const decode = [decodeMs, decodeMs / decodeSequences, decodeMs / decodeContextTokens];
  return new BoundedFit({
    means: [1, 1, prior.passMs, 0, 0, 0, 0, 0, 0],
    spreads: [partSpread, partSpread, Math.min(prefillMs, decodeMs), ...prefill, ...decode],
    commonSpread,
    kinds: Object.keys(KINDS).length,
  });
}
