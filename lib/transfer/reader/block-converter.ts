import { CHECKSUM_SEED } from "#lib/kv/checksum";
import { convertBlocks } from "#lib/kv/convert";
import { blockBytes, type KvLayout, layoutDifference } from "#lib/kv/layout";
import { type Arrived, type BlockIntake, corrupt } from "./block-intake.ts";

/** Hashes bytes with a seed; the native addon's `xxh3` is one. */
export type HashBytes = (bytes: Uint8Array, seed: bigint) => bigint;

/** What is converted. */
export interface ConverterOptions {
  /** How blocks lie at their owner. */
  readonly from: KvLayout;
  /** How they lie here; convertible. */
  readonly to: KvLayout;
  /** Token of the sequence at which the first block begins that is wanted here. */
  readonly fromToken: number;
  /** Where they go. */
  readonly intake: BlockIntake;
  /** Looks at those that are converted. */
  readonly hashBytes: HashBytes;
}

/** Turns blocks as they lie at their owner into blocks as they lie here: several into one, one into several, or as they are. */
export class BlockConverter {
  readonly #options: ConverterOptions;
  /** Tokens that begin and end with a block of both. */
  readonly #unitTokens: number;
  readonly #isSame: boolean;
  /** Blocks of a unit that is not whole yet; copies, so that nobody waits for memory that it holds. */
  #unit: Uint8Array[] = [];
  /** Blocks of the next unit that are here already. */
  #skip: number;

  constructor(options: ConverterOptions) {
    const { from, to, fromToken } = options;
    this.#options = options;
    this.#isSame = layoutDifference(from, to) === undefined;
    this.#unitTokens = Math.max(from.blockTokens, to.blockTokens);
    this.#skip = (fromToken % this.#unitTokens) / to.blockTokens;
  }

  /** First block of the owner that is needed. */
  get fromBlock(): number {
    const { fromToken, from } = this.#options;
    return (fromToken - (fromToken % this.#unitTokens)) / from.blockTokens;
  }

  /** Takes the owner's next block. */
  add(block: Arrived): void {
    if (this.#isSame) {
      this.#options.intake.add(block);
      return;
    }
    const { from, hashBytes, intake } = this.#options;
    if (block.checksum !== undefined && hashBytes(block.bytes, CHECKSUM_SEED) !== block.checksum) {
      intake.fail(corrupt());
      block.done();
      return;
    }
    const isWhole = from.blockTokens === this.#unitTokens;
    this.#unit.push(isWhole ? block.bytes : block.bytes.slice());
    if (this.#unit.length * from.blockTokens === this.#unitTokens) this.#convert();
    block.done();
  }

  #convert(): void {
    const { from, to, intake } = this.#options;
    const count = this.#unitTokens / to.blockTokens;
    const payloads = Array.from({ length: count }, () => new Uint8Array(blockBytes(to)));
    convertBlocks({ layout: from, payloads: this.#unit }, { layout: to, payloads });
    this.#unit = [];
    const skipped = this.#skip;
    this.#skip = 0;
    for (const bytes of payloads.slice(skipped)) intake.add({ bytes, checksum: undefined, done() {} });
  }
}
