import { f32Field, type GgufTensor, stringField, u32Field, writeGguf } from "#lib/text/gguf-write";
import { VOCABULARY_SIZES, vocabularyFields } from "./vocabulary.ts";

/** One format of weights: how the file names it, and how a block of it is made of random bytes. */
interface WeightFormat {
  /** As in the file. */
  readonly elementType: number;
  readonly fileType: number;
  readonly blockWeights: number;
  readonly blockBytes: number;
  /** Overwrites the scales of a block, so that weights have the spread of a trained layer and no mean. */
  readonly scale: (block: Uint8Array) => void;
}

/** Scales as half floats, little endian. Q8_0: 2^-11. Q4_K: 2^-12 and 7.5 times that, every sub-block 32 of each. */
const Q8_SCALE = [0x00, 0x10];
const Q4_SCALES = [0x00, 0x0c, 0x80, 0x17, 160, 160, 160, 160, 160, 160, 160, 160, 0, 0, 0, 0];

/** Formats that the library computes in different ways: Q4_K is repacked for the processor. */
export const RANDOM_FORMATS = {
  q8_0: { elementType: 8, fileType: 7, blockWeights: 32, blockBytes: 34, scale: (block) => block.set(Q8_SCALE) },
  q4_k: { elementType: 12, fileType: 15, blockWeights: 256, blockBytes: 144, scale: (block) => block.set(Q4_SCALES) },
} as const satisfies Record<string, WeightFormat>;

/** Name of a format of random weights. */
export type RandomFormat = keyof typeof RANDOM_FORMATS;

/** 126 million parameters: wide and deep as the small models that people run. */
const SHAPE = { width: 768, inner: 2_048, layers: 16, heads: 12, kvHeads: 4, contextTokens: 8_192 } as const;

function fillRandom(bytes: Uint8Array, seed: number): void {
  const words = new Uint32Array(bytes.buffer, 0, bytes.length >> 2);
  let state = Math.imul(seed + 1, 2_654_435_761) | 1;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
}

function weights(format: WeightFormat, name: string, seed: number, [columns, rows]: [number, number]): GgufTensor {
  const blocks = (columns * rows) / format.blockWeights;
  const data = new Uint8Array(blocks * format.blockBytes);
  fillRandom(data, seed);
  for (let at = 0; at < data.length; at += format.blockBytes) {
    format.scale(data.subarray(at, at + format.blockBytes));
  }
  return { name: `${name}.weight`, dimensions: [columns, rows], elementType: format.elementType, data };
}

function norm(name: string): GgufTensor {
  const data = new Uint8Array(new Float32Array(SHAPE.width).fill(1).buffer);
  return { name: `${name}.weight`, dimensions: [SHAPE.width], elementType: 0, data };
}

/** A model of the llama architecture that nobody trained, with the 32k vocabulary. Takes about two seconds and 300 MB. */
export function randomModel(name: RandomFormat): Uint8Array {
  const format: WeightFormat = RANDOM_FORMATS[name];
  const { width, inner, layers, heads, kvHeads, contextTokens } = SHAPE;
  const kvWidth = (width / heads) * kvHeads;
  const tensors = [weights(format, "token_embd", 0, [width, VOCABULARY_SIZES["32k"]]), norm("output_norm")];
  for (let layer = 0; layer < layers; layer++) {
    const shapes: Readonly<Record<string, [number, number]>> = {
      ...{ attn_q: [width, width], attn_k: [width, kvWidth], attn_v: [width, kvWidth], attn_output: [width, width] },
      ...{ ffn_gate: [width, inner], ffn_up: [width, inner], ffn_down: [inner, width] },
    };
    tensors.push(norm(`blk.${layer}.attn_norm`), norm(`blk.${layer}.ffn_norm`));
    for (const [at, [part, shape]] of Object.entries(shapes).entries()) {
      tensors.push(weights(format, `blk.${layer}.${part}`, layer * 16 + at + 1, shape));
    }
  }
  const fields = [
    stringField("general.architecture", "llama"),
    stringField("general.name", `bench-random-${name}`),
    u32Field("general.file_type", format.fileType),
    u32Field("llama.context_length", contextTokens),
    u32Field("llama.embedding_length", width),
    u32Field("llama.block_count", layers),
    u32Field("llama.feed_forward_length", inner),
    u32Field("llama.attention.head_count", heads),
    u32Field("llama.attention.head_count_kv", kvHeads),
    f32Field("llama.attention.layer_norm_rms_epsilon", 1e-5),
    ...vocabularyFields(VOCABULARY_SIZES["32k"]),
  ];
  return writeGguf(fields, tensors);
}
