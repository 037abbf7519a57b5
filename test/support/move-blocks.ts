import { assert } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { blockBytes } from "#lib/kv/layout";
import type { BlockStore, WantedBlocks } from "#lib/transfer/block-store";

/** Blocks on their way, with what goes along. */
export interface TakenBlocks {
  readonly payloads: Uint8Array[];
  readonly checksums: BigUint64Array;
}

/** The blocks with these names that an engine has, from the first on without a gap. */
export async function takeBlocks(engine: Engine, hashes: BigUint64Array): Promise<TakenBlocks> {
  const { blocks, card } = engine;
  assert(blocks && card.layout, "blocks of the engine can be moved");
  const run = blocks.pin(hashes);
  try {
    const bytes = blockBytes(card.layout);
    const payloads = Array.from({ length: run.count }, () => new Uint8Array(bytes));
    return { payloads, checksums: await blocks.read(run, 0, payloads) };
  } finally {
    run.unpin();
  }
}

/** Whose blocks come, and what is checked of them. */
export interface PutOptions extends Partial<Pick<WantedBlocks, "cacheSalt" | "adapter">> {
  /** Default true. */
  readonly checks?: boolean;
}

/** Puts the first blocks of a sequence into an engine, those that it lacks. Returns how many are there then. */
export async function putBlocks(
  store: BlockStore,
  tokens: Uint32Array,
  { payloads, checksums }: TakenBlocks,
  options: PutOptions = {},
): Promise<number> {
  const { cacheSalt = "", adapter, checks = true } = options;
  const incoming = store.open({ tokens, blocks: payloads.length, cacheSalt, adapter });
  try {
    await incoming.write(payloads.slice(incoming.from), checks ? checksums.subarray(incoming.from) : undefined);
  } catch (error) {
    incoming.close();
    throw error;
  }
  return incoming.close();
}
