/**
 * The shape of the bytes of an exported block: `[layer][K|V][token][row]`. Blocks move between engines only when every
 * field is equal.
 */
export interface KvLayout {
  /** Layers of the model that keep KV. */
  readonly layers: number;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Keys of one token in one layer, all heads. */
  readonly keyRowBytes: number;
  /** Values of one token in one layer, all heads. */
  readonly valueRowBytes: number;
  /** Such as f16. */
  readonly elementType: string;
  /** What computed the bytes and how, such as llama.cpp-0.5.0; another value is refused at import. */
  readonly engineFormat: string;
}

/** Bytes of one block. */
export function blockBytes(layout: KvLayout): number {
  return layout.layers * layout.blockTokens * (layout.keyRowBytes + layout.valueRowBytes);
}

/** What differs between two layouts, as a phrase such as `layers 4, not 8`; undefined when they are equal. */
export function layoutDifference(found: KvLayout, wanted: KvLayout): string | undefined {
  const fields = ["layers", "blockTokens", "keyRowBytes", "valueRowBytes", "elementType", "engineFormat"] as const;
  for (const field of fields) {
    if (found[field] !== wanted[field]) return `${field} ${found[field]}, not ${wanted[field]}`;
  }
  return undefined;
}
