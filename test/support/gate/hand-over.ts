import { StatorError } from "#lib/base/errors";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import type { EngineClient } from "../../conformance/engine-rig.ts";
import { putBlocks, type TakenBlocks, takeBlocks } from "../move-blocks.ts";
import { answerOf, type GateAnswer, joined, type Way } from "./answers.ts";
import type { GateAsk } from "./asks.ts";

/** What became of the blocks of all requests of one way. */
export interface HandOverTally {
  /** Answers that went on elsewhere. */
  handOvers: number;
  /** Blocks that were there when their request went on. */
  blocks: number;
  /** Tokens of these that did not have to be computed again. */
  reusedTokens: number;
  /** Requests whose blocks found no room. */
  withoutRoom: number;
  /** Requests of which a block was damaged on the way. */
  damaged: number;
}

/** How blocks come from one engine to another. */
export interface HandOverOptions {
  /** Draws the first tokens. */
  readonly from: EngineClient;
  /** Goes on. */
  readonly to: EngineClient;
  /** Tokens that the first one draws; default 1. */
  readonly firstTokens?: (at: number) => number;
  /** Changes the bytes on the way. */
  readonly meddle?: (payloads: Uint8Array[], at: number) => void;
  /** Whether checksums are compared; default true. */
  readonly checks?: boolean;
}

/** Nothing was handed over. */
export function newTally(): HandOverTally {
  return { handOvers: 0, blocks: 0, reusedTokens: 0, withoutRoom: 0, damaged: 0 };
}

/** One engine computes the prompt and draws what comes first, another takes the blocks and goes on. */
export function handedOver(options: HandOverOptions, tally: HandOverTally): Way {
  const { from, to, firstTokens = () => 1 } = options;
  return async (ask, at) => {
    const { maxTokens = 1 } = ask.stopping ?? {};
    const drawn = Math.min(maxTokens, firstTokens(at));
    const first = answerOf(await from.ask({ ...ask, stopping: { ...ask.stopping, maxTokens: drawn } }));
    // What may not go on is over, whoever would go on.
    if (first.end !== "length" || first.tokens.length >= maxTokens) return first;
    tally.handOvers++;
    await carry(options, { ask, at, first }, tally);
    const generatedTokens = Uint32Array.from(first.tokens);
    const rest = answerOf(await to.ask({ ...ask, generatedTokens }));
    tally.reusedTokens += rest.cachedTokens;
    return joined(first, rest);
  };
}

async function carry(
  { from, to, meddle, checks = true }: HandOverOptions,
  { ask, at, first }: { readonly ask: GateAsk; readonly at: number; readonly first: GateAnswer },
  tally: HandOverTally,
): Promise<void> {
  const tokens = Uint32Array.of(...ask.prompt, ...first.tokens);
  const taken = await takeBlocks(from.engine, hashesOf(ask, tokens, from.engine.card.blockTokens));
  meddle?.(taken.payloads, at);
  const { cacheSalt, adapter } = ask;
  const count = await put(to, tokens, taken, { cacheSalt, adapter, checks });
  if (count === undefined) tally.withoutRoom++;
  else if (count < taken.payloads.length) tally.damaged++;
  tally.blocks += count ?? 0;
}

async function put(
  to: EngineClient,
  tokens: Uint32Array,
  taken: TakenBlocks,
  options: Parameters<typeof putBlocks>[3],
) {
  try {
    return await putBlocks(to.engine.blocks!, tokens, taken, options);
  } catch (error) {
    if (error instanceof StatorError && error.reason === "LIMIT") return undefined;
    throw error;
  }
}

function hashesOf({ cacheSalt, adapter }: GateAsk, tokens: Uint32Array, blockTokens: number): BigUint64Array {
  const hashes = new BigUint64Array(Math.floor(tokens.length / blockTokens));
  new TokenHasher().hashBlocks(tokens, blockTokens, hashSeed(cacheSalt, adapter), hashes.slice(), hashes);
  return hashes;
}
