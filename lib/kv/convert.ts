import { assert } from "#lib/base/errors";
import { blockBytes, convertible, type KvLayout } from "./layout.ts";

/** Consecutive blocks of one sequence. */
export interface BlockRun {
  /** How each of them lies. */
  readonly layout: KvLayout;
  /** Their bytes, one block each. */
  readonly payloads: readonly Uint8Array[];
}

/** Where the rows of one layer and kind begin in a block. */
function startOf({ order, layers, blockTokens, keyRowBytes, valueRowBytes }: KvLayout, layer: number, kind: 0 | 1) {
  if (order === "layer-kind") return blockTokens * (layer * (keyRowBytes + valueRowBytes) + kind * keyRowBytes);
  return blockTokens * (kind === 0 ? layer * keyRowBytes : layers * keyRowBytes + layer * valueRowBytes);
}

/**
 * Copies the rows of blocks into blocks of another layout. Both begin with the same token and hold equally many; the layouts
 * are `convertible`. Every byte is moved once.
 */
export function convertBlocks(from: BlockRun, to: BlockRun): void {
  const { layers, keyRowBytes, valueRowBytes } = from.layout;
  assert(convertible(from.layout, to.layout) === undefined, "blocks are converted whose rows are alike");
  const tokens = from.payloads.length * from.layout.blockTokens;
  assert(tokens === to.payloads.length * to.layout.blockTokens, "as many tokens come out as go in");
  for (const { layout, payloads } of [from, to]) {
    const bytes = blockBytes(layout);
    assert(
      payloads.every(({ byteLength }) => byteLength === bytes),
      "a block has the bytes of its layout",
    );
  }
  const run = Math.min(from.layout.blockTokens, to.layout.blockTokens);
  for (let layer = 0; layer < layers; layer++) {
    copyRows(from, to, { layer, kind: 0, rowBytes: keyRowBytes, tokens, run });
    copyRows(from, to, { layer, kind: 1, rowBytes: valueRowBytes, tokens, run });
  }
}

interface Rows {
  readonly layer: number;
  readonly kind: 0 | 1;
  readonly rowBytes: number;
  readonly tokens: number;
  /** Tokens in a row that lie side by side in both. */
  readonly run: number;
}

function copyRows(from: BlockRun, to: BlockRun, { layer, kind, rowBytes, tokens, run }: Rows): void {
  const fromStart = startOf(from.layout, layer, kind);
  const toStart = startOf(to.layout, layer, kind);
  for (let token = 0; token < tokens; token += run) {
    const source = from.payloads[Math.floor(token / from.layout.blockTokens)]!;
    const target = to.payloads[Math.floor(token / to.layout.blockTokens)]!;
    const at = fromStart + (token % from.layout.blockTokens) * rowBytes;
    target.set(source.subarray(at, at + run * rowBytes), toStart + (token % to.layout.blockTokens) * rowBytes);
  }
}
