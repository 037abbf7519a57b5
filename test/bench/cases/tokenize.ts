// Tokenizing a chat prompt of 8k tokens in 41 messages: ours against the library's own encoding of the whole prompt,
// as ratios of CPU time in one run. With an argument, only cases whose name contains it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Tokenizer as ScriptLibrary } from "@huggingface/tokenizers";
import { pick, SeededChance } from "#lib/base/chance";
import { createBytePairEncoder, tokenizerJson } from "#lib/text/byte-pair";
import { parseGgufHeader } from "#lib/text/gguf";
import { type ChatTemplate, compileTemplate } from "#lib/text/template";
import { createTokenizer, type SegmentEncoder, type Tokenizer } from "#lib/text/tokenizer";
import { chatTemplateOf, checkVocabulary, extractVocabulary, type Vocabulary } from "#lib/text/vocabulary";
import { makeVocabulary } from "../../fixtures/text/vocabulary.ts";
import { DEMO_MODEL, openNative } from "../../support/engine-driver.ts";

const MESSAGES = 41;
const PROMPT_TOKENS = 8192;
const ROUNDS = 60;

const demo = parseGgufHeader(readFileSync(DEMO_MODEL), "demo");
const DEMO_TEMPLATE = compileTemplate(chatTemplateOf(demo) ?? "");
const MADE_TEMPLATE = compileTemplate(
  "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}",
);
const chance = new SeededChance(1n);
const WORDS =
  "the router sends a request to worker that holds longest matching prefix unless it is too busy and compares cached blocks with load of every planner watches traffic latency when time first token grows adds prefill decode 2026 4,096 don't tokens".split(
    " ",
  );

function sentence(): string {
  const words = Array.from({ length: 6 + pick(chance, 12) }, () => WORDS[pick(chance, WORDS.length)]);
  return `${words.join(" ")}. `;
}

/** A conversation of 41 messages with about so many tokens, different in each round. */
function conversation(tokenizer: Tokenizer): { role: string; content: string }[] {
  const perMessage = PROMPT_TOKENS / MESSAGES - 5;
  return Array.from({ length: MESSAGES }, (_, at) => {
    let content = "";
    while (tokenizer.encode(content).length < perMessage) content += sentence();
    return { role: at === 0 ? "system" : at % 2 === 1 ? "user" : "assistant", content };
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[values.length >> 1] ?? 0;
}

/** CPU microseconds of one call. */
function cpuUs(call: () => unknown): number {
  const before = process.cpuUsage();
  call();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

interface Subject {
  readonly vocabulary: Vocabulary;
  readonly encoder: SegmentEncoder;
  /** The library's own encoding of a whole prompt, special tokens parsed. */
  readonly library: (prompt: string) => Uint32Array;
}

/** What a case works with, or why it cannot. */
type Load = () => Subject | string | Promise<Subject | string>;

/** Rounds in turn, so that what disturbs one disturbs the other. Each round has a new conversation. */
function compare({ vocabulary, encoder, library }: Subject, template: ChatTemplate) {
  const warm = createTokenizer(vocabulary, { encoder });
  const library1: number[] = [];
  const fresh: number[] = [];
  const seen: number[] = [];
  let tokens = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const messages = conversation(warm);
    const start = template.render(messages.slice(0, -1), { addGenerationPrompt: false });
    const prompt = template.render(messages);
    const tokenizer = createTokenizer(vocabulary, { encoder });
    const grown = createTokenizer(vocabulary, { encoder });
    grown.encodeChat(start);
    let own: Uint32Array | undefined;
    let theirs: Uint32Array | undefined;
    library1.push(cpuUs(() => (theirs = library(prompt))));
    fresh.push(cpuUs(() => (own = tokenizer.encodeChat(prompt))));
    seen.push(cpuUs(() => grown.encodeChat(prompt)));
    if (own?.join() !== theirs?.join()) throw new Error("the two disagree");
    tokens = own?.length ?? 0;
  }
  const base = median(library1);
  return {
    tokens,
    libraryUs: base,
    newUs: median(fresh),
    seenUs: median(seen),
    new: median(fresh) / base,
    newTarget: 1.25,
    seen: median(seen) / base,
    seenTarget: 0.15,
  };
}

async function nativeSubject(bytes: Uint8Array): Promise<Subject | string> {
  const native = openNative();
  if (native.reason !== undefined) return native.reason;
  const folder = mkdtempSync(path.join(tmpdir(), "stator-bench-"));
  writeFileSync(path.join(folder, "v.gguf"), bytes);
  const vocab = await native.llama.openVocab(path.join(folder, "v.gguf"));
  rmSync(folder, { recursive: true });
  return {
    vocabulary: checkVocabulary(bytes),
    encoder: { encode: (text) => vocab.tokenize(text) },
    library: (prompt) => vocab.tokenize(prompt, { parseSpecial: true }),
  };
}

function scriptSubject(bytes: Uint8Array): Subject {
  const vocabulary = checkVocabulary(bytes);
  const encoder = createBytePairEncoder(vocabulary);
  const specials = createTokenizer(vocabulary, { encoder }).specials;
  const json = {
    ...tokenizerJson(vocabulary),
    added_tokens: specials.map(({ id, text }) => ({ id, content: text, special: true, normalized: false })),
  };
  const library = new ScriptLibrary(json, {});
  return {
    vocabulary,
    encoder,
    library: (prompt) => Uint32Array.from(library.encode(prompt, { add_special_tokens: false }).ids),
  };
}

const demoBytes = extractVocabulary(demo);
const madeBytes = () =>
  extractVocabulary(parseGgufHeader(makeVocabulary({ pre: "llama-bpe", merges: 16_000 }), "made"));

const CASES: Record<string, readonly [ChatTemplate, Load]> = {
  "tokenize/native/demo": [DEMO_TEMPLATE, () => nativeSubject(demoBytes)],
  "tokenize/native/made": [MADE_TEMPLATE, () => nativeSubject(madeBytes())],
  "tokenize/script/demo": [DEMO_TEMPLATE, () => scriptSubject(demoBytes)],
  "tokenize/script/made": [MADE_TEMPLATE, () => scriptSubject(madeBytes())],
};

for (const [name, [template, load]] of Object.entries(CASES)) {
  if (process.argv[2] && !name.includes(process.argv[2])) continue;
  const subject = await load();
  const figures = typeof subject === "string" ? { skipped: subject } : compare(subject, template);
  console.log(
    name,
    JSON.stringify(figures, (_, value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value)),
  );
}
