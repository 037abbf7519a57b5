// Writes the model file: vocabulary and weights of the steps before, matrices as Q8_0, gains as f32. Needs Node 24.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { boolField, f32Field, i32sField, stringField, stringsField, u32Field, writeGguf } from "#lib/text/gguf-write";

/** Element types of the format. */
const ELEMENT = { f32: 0, q8: 8 };
/** Values that share a scale, and the bytes of them with it. */
const Q8_VALUES = 32;
const Q8_BYTES = 34;
/** Types of tokens. */
const TOKEN = { normal: 1, control: 3, userDefined: 4 };
const CONTEXT_TOKENS = 2048;

const { values: options } = parseArgs({
  options: {
    bpe: { type: "string", default: "bpe.json" },
    list: { type: "string", default: "weights.json" },
    weights: { type: "string", default: "weights.bin" },
    name: { type: "string", default: "stator-demo-3m" },
    out: { type: "string", default: "stator-demo-q8_0.gguf" },
  },
});

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/** The template as one line: line breaks and indentation before a tag are there for its readers. */
function readTemplate() {
  const source = readFileSync(path.join(import.meta.dirname, "chat-template.jinja"), "utf8");
  return source.replaceAll(/\n\s*(?=\{[{%]-)/g, "").trimEnd();
}

/** Q8_0: 32 values as signed bytes behind the f16 that they are multiplied with. */
function quantize(values) {
  const blocks = values.length / Q8_VALUES;
  const bytes = new DataView(new ArrayBuffer(blocks * Q8_BYTES));
  for (let block = 0; block < blocks; block++) {
    const from = values.subarray(block * Q8_VALUES, (block + 1) * Q8_VALUES);
    const largest = from.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const scale = largest / 127;
    bytes.setFloat16(block * Q8_BYTES, scale, true);
    for (const [at, value] of from.entries()) {
      const quantum = scale === 0 ? 0 : Math.max(-127, Math.min(127, Math.round(value / scale)));
      bytes.setInt8(block * Q8_BYTES + 2 + at, quantum);
    }
  }
  return new Uint8Array(bytes.buffer);
}

function readTensors(listed, file) {
  const bytes = readFileSync(file);
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  let at = 0;
  return listed.map(({ name, shape }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const own = values.slice(at, at + count);
    at += count;
    const isMatrix = shape.length === 2;
    return {
      name,
      // The format lists the fastest dimension first.
      dimensions: shape.toReversed(),
      elementType: isMatrix ? ELEMENT.q8 : ELEMENT.f32,
      data: isMatrix ? quantize(own) : new Uint8Array(own.buffer),
    };
  });
}

const { tokens: plain, merges, special } = readJson(options.bpe);
const { shape, tensors } = readJson(options.list);
const tokens = [...plain, ...special];
if (tokens.length !== shape.vocabulary) {
  throw new Error(`The vocabulary has ${tokens.length} tokens and the model ${shape.vocabulary}`);
}
// Names in bars are control tokens; the others are shown to whoever reads the answer.
const types = tokens.map((text, id) => {
  if (id < plain.length) return TOKEN.normal;
  return text.startsWith("<|") ? TOKEN.control : TOKEN.userDefined;
});
const idOf = (text) => tokens.indexOf(text);

const file = writeGguf(
  [
    stringField("general.architecture", "llama"),
    stringField("general.name", options.name),
    stringField("general.license", "apache-2.0"),
    u32Field("general.file_type", 1),
    u32Field("llama.block_count", shape.layers),
    u32Field("llama.context_length", CONTEXT_TOKENS),
    u32Field("llama.embedding_length", shape.width),
    u32Field("llama.feed_forward_length", shape.inner),
    u32Field("llama.attention.head_count", shape.heads),
    u32Field("llama.attention.head_count_kv", shape.kv_heads),
    f32Field("llama.attention.layer_norm_rms_epsilon", 1e-5),
    u32Field("llama.rope.dimension_count", shape.width / shape.heads),
    f32Field("llama.rope.freq_base", 10_000),
    u32Field("llama.vocab_size", tokens.length),
    stringField("tokenizer.ggml.model", "gpt2"),
    stringField("tokenizer.ggml.pre", "gpt-2"),
    stringsField("tokenizer.ggml.tokens", tokens),
    i32sField("tokenizer.ggml.token_type", types),
    stringsField(
      "tokenizer.ggml.merges",
      merges.map((pair) => pair.join(" ")),
    ),
    u32Field("tokenizer.ggml.bos_token_id", idOf("<|endoftext|>")),
    u32Field("tokenizer.ggml.eos_token_id", idOf("<|im_end|>")),
    u32Field("tokenizer.ggml.eot_token_id", idOf("<|im_end|>")),
    u32Field("tokenizer.ggml.padding_token_id", idOf("<|pad|>")),
    boolField("tokenizer.ggml.add_bos_token", false),
    stringField("tokenizer.chat_template", readTemplate()),
  ],
  readTensors(tensors, options.weights),
);
writeFileSync(options.out, file);
console.log(`${options.out}: ${file.length} bytes`);
