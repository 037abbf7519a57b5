import { makeCharacterMap } from "./character-map.ts";
import { buildGguf, type GgufTensor, type GgufValue, noise } from "./gguf-builder.ts";

const width = 64;
const inner = 128;
const layers = 6;
const vocabulary = 300;

/** A byte-level vocabulary that every word of these tests fits in; the last token ends a generation. */
function vocabularyValues(): Record<string, GgufValue> {
  const tokens = Array.from({ length: vocabulary }, (_, i) => (i === vocabulary - 1 ? "<end>" : `t${i}`));
  const types = Int32Array.from(tokens, (_, i) => (i === vocabulary - 1 ? 3 : 1));
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": types,
    "tokenizer.ggml.merges": ["t 0"],
    "tokenizer.ggml.eos_token_id": vocabulary - 1,
    "tokenizer.ggml.add_bos_token": false,
  };
}

function common(architecture: string): Record<string, GgufValue> {
  return {
    "general.architecture": architecture,
    [`${architecture}.context_length`]: 512,
    [`${architecture}.embedding_length`]: width,
    [`${architecture}.block_count`]: layers,
    [`${architecture}.attention.layer_norm_rms_epsilon`]: { f32: 1e-6 },
    [`${architecture}.attention.layer_norm_epsilon`]: { f32: 1e-6 },
  };
}

const ones = () => 1;
/** One number per name, so that every tensor is filled otherwise. */
const seedOf = (name: string) => [...name].reduce((sum, letter) => Math.imul(sum, 31) + letter.charCodeAt(0), 7);
const weight = (name: string, ...shape: number[]): GgufTensor => ({
  name: `${name}.weight`,
  shape,
  fill: noise(seedOf(name), 1.5 / Math.sqrt(shape[0] ?? 1)),
});
const norm = (name: string, size = width): GgufTensor => ({ name: `${name}.weight`, shape: [size], fill: ones });
const bias = (name: string, size = width): GgufTensor => ({
  name: `${name}.bias`,
  shape: [size],
  fill: noise(seedOf(name), 0.1),
});
const perLayer = (make: (layer: string) => GgufTensor[]) =>
  Array.from({ length: layers }, (_, i) => make(`blk.${i}`)).flat();

/** What a model of the plain kind is made of: `q4_k` needs widths that are multiples of 256. */
function plainTensors(size: number, type: "f32" | "q4_k"): GgufTensor[] {
  // The quants of a block are drawn from their whole range, whatever the width.
  const matrix = (name: string, ...shape: number[]): GgufTensor =>
    type === "f32" ? weight(name, ...shape) : { name: `${name}.weight`, shape, fill: noise(seedOf(name), 1), type };
  const blocks = perLayer((at) => [
    norm(`${at}.attn_norm`, size),
    norm(`${at}.ffn_norm`, size),
    matrix(`${at}.attn_q`, size, size),
    matrix(`${at}.attn_k`, size, 64),
    matrix(`${at}.attn_v`, size, 64),
    matrix(`${at}.attn_output`, size, size),
    matrix(`${at}.ffn_gate`, size, 2 * size),
    matrix(`${at}.ffn_up`, size, 2 * size),
    matrix(`${at}.ffn_down`, 2 * size, size),
  ]);
  return [weight("token_embd", size, vocabulary), norm("output_norm", size), ...blocks];
}

function plainValues(size: number): Record<string, GgufValue> {
  return {
    ...common("llama"),
    ...vocabularyValues(),
    "llama.context_length": 1024,
    "llama.embedding_length": size,
    "llama.feed_forward_length": 2 * size,
    "llama.attention.head_count": size / 64,
    "llama.attention.head_count_kv": 1,
    "llama.rope.dimension_count": 64,
    "llama.rope.freq_base": { f32: 10_000 },
  };
}

/** Every layer sees everything; random weights, so that no token is much likelier than the next. */
export function plainModel(): Buffer {
  return buildGguf(plainValues(128), plainTensors(128, "f32"));
}

/** The same with matrices quantized as Q4_K. */
export function quantizedModel(): Buffer {
  return buildGguf(plainValues(256), plainTensors(256, "q4_k"));
}

/** Five layers with a window of 32 tokens to one that sees everything: two caches in one context. */
export function windowModel(): Buffer {
  const values = {
    ...common("gemma3"),
    ...vocabularyValues(),
    "gemma3.feed_forward_length": inner,
    "gemma3.attention.head_count": 2,
    "gemma3.attention.head_count_kv": 1,
    "gemma3.attention.key_length": 64,
    "gemma3.attention.value_length": 64,
    "gemma3.attention.sliding_window": 32,
    "gemma3.rope.freq_base": { f32: 10_000 },
  };
  const tensors = perLayer((at) => [
    ...["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"].map((name) => norm(`${at}.${name}`)),
    norm(`${at}.attn_q_norm`, 64),
    norm(`${at}.attn_k_norm`, 64),
    weight(`${at}.attn_q`, width, 128),
    weight(`${at}.attn_k`, width, 64),
    weight(`${at}.attn_v`, width, 64),
    weight(`${at}.attn_output`, 128, width),
    weight(`${at}.ffn_gate`, width, inner),
    weight(`${at}.ffn_up`, width, inner),
    weight(`${at}.ffn_down`, inner, width),
  ]);
  return buildGguf(values, [weight("token_embd", width, vocabulary), norm("output_norm"), ...tensors]);
}

/** A state per sequence instead of rows per token. */
export function recurrentModel(): Buffer {
  const values = {
    ...common("mamba"),
    ...vocabularyValues(),
    "mamba.ssm.conv_kernel": 4,
    "mamba.ssm.inner_size": 2 * width,
    "mamba.ssm.state_size": 16,
    "mamba.ssm.time_step_rank": 4,
  };
  const tensors = perLayer((at) => [
    norm(`${at}.attn_norm`),
    weight(`${at}.ssm_in`, width, 4 * width),
    weight(`${at}.ssm_conv1d`, 4, 2 * width),
    bias(`${at}.ssm_conv1d`, 2 * width),
    weight(`${at}.ssm_x`, 2 * width, 36),
    weight(`${at}.ssm_dt`, 4, 2 * width),
    bias(`${at}.ssm_dt`, 2 * width),
    { name: `${at}.ssm_a`, shape: [16, 2 * width], fill: (i) => -1 - (i % 16) },
    { name: `${at}.ssm_d`, shape: [2 * width], fill: ones },
    weight(`${at}.ssm_out`, 2 * width, width),
  ]);
  return buildGguf(values, [weight("token_embd", width, vocabulary), norm("output_norm"), ...tensors]);
}

/** An encoder: no cache and no next token, embeddings only. */
export function encoderModel(): Buffer {
  const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581a", "\u2581b", "\u2581c", "\u2581duck"];
  const values = {
    ...common("bert"),
    "bert.feed_forward_length": inner,
    "bert.attention.head_count": 1,
    "bert.attention.causal": false,
    "bert.pooling_type": 1,
    "tokenizer.ggml.model": "bert",
    "tokenizer.ggml.tokens": words,
    "tokenizer.ggml.token_type_count": 2,
    "tokenizer.ggml.unknown_token_id": 1,
    "tokenizer.ggml.bos_token_id": 2,
    "tokenizer.ggml.cls_token_id": 2,
    "tokenizer.ggml.seperator_token_id": 3,
    "tokenizer.ggml.padding_token_id": 0,
    "tokenizer.ggml.mask_token_id": 1,
  };
  const tensors = perLayer((at) => [
    ...["attn_q", "attn_k", "attn_v", "attn_output"].flatMap((name) => [
      weight(`${at}.${name}`, width, width),
      bias(`${at}.${name}`),
    ]),
    ...["attn_output_norm", "layer_output_norm"].flatMap((name) => [norm(`${at}.${name}`), bias(`${at}.${name}`)]),
    weight(`${at}.ffn_up`, width, inner),
    bias(`${at}.ffn_up`, inner),
    weight(`${at}.ffn_down`, inner, width),
    bias(`${at}.ffn_down`),
  ]);
  const embeddings = [
    weight("token_embd", width, words.length),
    weight("token_types", width, 2),
    weight("position_embd", width, 512),
    norm("token_embd_norm"),
    bias("token_embd_norm"),
  ];
  return buildGguf(values, [...embeddings, ...tensors]);
}

/** A vocabulary alone, of pieces that scores choose between; unknown characters become bytes. */
export function pieceVocabulary(): Buffer {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = [
    ..."\u2581etaoinshrdlu,.中é",
    "th",
    "the",
    "\u2581t",
    "\u2581the",
    "in",
    "\u2581in",
    "an",
    "on",
    "\u2581\u2581",
  ];
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, "<|user|>", "\n\n", ...pieces];
  const special = new Map([
    ["<unk>", 2],
    ["<s>", 3],
    ["</s>", 3],
    ["<|user|>", 3],
    ["\n\n", 4],
  ]);
  const values = {
    "general.architecture": "llama",
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": Int32Array.from(
      tokens,
      (token) => special.get(token) ?? (bytes.includes(token) ? 6 : 1),
    ),
    "tokenizer.ggml.scores": Float32Array.from(tokens, (token, at) => (bytes.includes(token) ? 0 : -at)),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
  };
  return buildGguf(values, []);
}

/** A vocabulary alone, of pieces whose scores together are best; characters are replaced before, and spaces put in order. */
export function unigramVocabulary(): Buffer {
  const pieces = [
    ..."\u2581etaoinshrdlu,.中é",
    "\u2581the",
    "th",
    "he",
    "in",
    "an",
    "on",
    "\u2581t",
    "\u2581in",
    "ti",
    "tion",
  ];
  const tokens = ["<pad>", "</s>", "<unk>", "<|user|>", "hello in", ...pieces];
  const values = {
    "general.architecture": "llama",
    "tokenizer.ggml.model": "t5",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": Int32Array.from(tokens, (_, id) => [3, 3, 2, 3, 4][id] ?? 1),
    "tokenizer.ggml.scores": Float32Array.from(tokens, (token, id) => (id < 5 ? 0 : -3 - id / 7 - token.length / 3)),
    "tokenizer.ggml.add_space_prefix": true,
    "tokenizer.ggml.remove_extra_whitespaces": true,
    "tokenizer.ggml.precompiled_charsmap": makeCharacterMap({
      ...{ "\n": " ", "\t": " ", "\u3000": " ", "\u200b": "", T: "t", "ti\u0301": "tion", é: "e", ﬂ: "fl", "½": "1⁄2" },
      ...{ ｔ: "t", ｈ: "h", ｅ: "e", "…": "...", "\r\n": "\n" },
    }),
  };
  return buildGguf(values, []);
}
