/** How the rows of a block follow each other; the outermost comes first, token and row last. */
export const BLOCK_ORDERS = ["layer-kind", "kind-layer"] as const;

/** `layer-kind`: layer, then keys before values. `kind-layer`: keys of all layers, then values of all. */
export type BlockOrder = (typeof BLOCK_ORDERS)[number];

/** The shape of the bytes of one block: `[layer][K|V][token][row]`, or with the first two the other way round. */
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
  /** What computed the bytes and how, such as llama.cpp-0.5.0; rows of another one mean nothing. */
  readonly engineFormat: string;
  /** How its rows follow each other. */
  readonly order: BlockOrder;
}

/** Bytes of one block. */
export function blockBytes(layout: KvLayout): number {
  return layout.layers * layout.blockTokens * (layout.keyRowBytes + layout.valueRowBytes);
}

const FIELDS = [
  "layers",
  "keyRowBytes",
  "valueRowBytes",
  "elementType",
  "engineFormat",
  "blockTokens",
  "order",
] as const satisfies readonly (keyof KvLayout)[];

/** What of two layouts must be equal, whatever is converted. */
const ROW_FIELDS = FIELDS.slice(0, 5);

/** The first field in which two layouts differ; undefined when blocks of one are blocks of the other. */
export function layoutDifference(left: KvLayout, right: KvLayout): keyof KvLayout | undefined {
  return FIELDS.find((field) => left[field] !== right[field]);
}

/**
 * The first field that keeps blocks of one layout from becoming blocks of another; undefined when they can. Rows must be the
 * same rows; their order may differ, and blocks may be longer or shorter by a whole factor.
 */
export function convertible(from: KvLayout, to: KvLayout): keyof KvLayout | undefined {
  const field = ROW_FIELDS.find((each) => from[each] !== to[each]);
  if (field !== undefined) return field;
  const [short, long] = from.blockTokens < to.blockTokens ? [from, to] : [to, from];
  return long.blockTokens % short.blockTokens === 0 ? undefined : "blockTokens";
}
