// Tokenizing a chat prompt of 8k tokens in 41 messages: ours against the library's own encoding of the whole prompt,
// as ratios of CPU time in one run, on words that neither has seen.
//   node test/bench/cases/tokenize.ts [NAME_PART]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Tokenizer as ScriptLibrary } from "@huggingface/tokenizers";
import { systemClock } from "#lib/host/system-clock";
import { createBytePairEncoder, tokenizerJson } from "#lib/text/byte-pair";
import { parseGgufHeader } from "#lib/text/gguf";
import { type ChatTemplate, compileTemplate } from "#lib/text/template";
import { createTokenizer, type SegmentEncoder, type Tokenizer } from "#lib/text/tokenizer";
import { chatTemplateOf, checkVocabulary, extractVocabulary, type Vocabulary } from "#lib/text/vocabulary";
import { DEMO_MODEL, openNative } from "../../support/engine-driver.ts";
import { vocabularyFile } from "../cache.ts";
import { cpuUs, median, runCases, volume } from "../harness.ts";
import { TextWriter } from "../text.ts";

const MESSAGES = 41;
const PROMPT_TOKENS = volume(8192, 1024);
const ROUNDS = volume(60, 3);

const writer = new TextWriter(1);

/** A conversation of 41 messages with about so many tokens, different in each round. */
function conversation(tokenizer: Tokenizer): { role: string; content: string }[] {
  const perMessage = PROMPT_TOKENS / MESSAGES - 5;
  return Array.from({ length: MESSAGES }, (_, at) => {
    let content = "";
    while (tokenizer.encode(content).length < perMessage) content += writer.words(9);
    return { role: at === 0 ? "system" : at % 2 === 1 ? "user" : "assistant", content };
  });
}

/** CPU microseconds of one call. */
function cpuUsOf(call: () => unknown): number {
  const before = cpuUs();
  call();
  return cpuUs() - before;
}

interface Subject {
  readonly vocabulary: Vocabulary;
  readonly template: ChatTemplate;
  readonly encoder: SegmentEncoder;
  /** The library's own encoding of a whole prompt, special tokens parsed. */
  readonly library: (prompt: string) => Uint32Array;
}

/** Rounds in turn, so that what disturbs one disturbs the other. Each round has a new conversation. */
function compare({ vocabulary, template, encoder, library }: Subject) {
  const warm = createTokenizer(vocabulary, { encoder });
  const library1: number[] = [];
  const fresh: number[] = [];
  const seen: number[] = [];
  let tokens = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const messages = conversation(warm);
    const start = template.render(messages.slice(0, -1), { addGenerationPrompt: false }).text;
    const prompt = template.render(messages).text;
    const tokenizer = createTokenizer(vocabulary, { encoder });
    const grown = createTokenizer(vocabulary, { encoder });
    grown.encodeChat(start);
    let own: Uint32Array | undefined;
    let theirs: Uint32Array | undefined;
    library1.push(cpuUsOf(() => (theirs = library(prompt))));
    fresh.push(cpuUsOf(() => (own = tokenizer.encodeChat(prompt))));
    seen.push(cpuUsOf(() => grown.encodeChat(prompt)));
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
    seen: median(seen) / base,
  };
}

async function nativeSubject(file: string): Promise<Subject | string> {
  const native = openNative();
  if (native.reason !== undefined) return native.reason;
  const header = parseGgufHeader(readFileSync(file), "the vocabulary");
  const bytes = extractVocabulary(header);
  const folder = mkdtempSync(path.join(tmpdir(), "stator-bench-"));
  writeFileSync(path.join(folder, "v.gguf"), bytes);
  const vocab = await native.llama.openVocab(path.join(folder, "v.gguf"));
  rmSync(folder, { recursive: true });
  return {
    vocabulary: checkVocabulary(bytes),
    template: compileTemplate(chatTemplateOf(header) ?? "", systemClock),
    encoder: { encode: (text) => vocab.tokenize(text) },
    library: (prompt) => vocab.tokenize(prompt, { parseSpecial: true }),
  };
}

function scriptSubject(file: string): Subject {
  const header = parseGgufHeader(readFileSync(file), "the vocabulary");
  const vocabulary = checkVocabulary(extractVocabulary(header));
  const encoder = createBytePairEncoder(vocabulary);
  const specials = createTokenizer(vocabulary, { encoder }).specials;
  const json = {
    ...tokenizerJson(vocabulary),
    added_tokens: specials.map(({ id, text }) => ({ id, content: text, special: true, normalized: false })),
  };
  const library = new ScriptLibrary(json, {});
  return {
    vocabulary,
    template: compileTemplate(chatTemplateOf(header) ?? "", systemClock),
    encoder,
    library: (prompt) => Uint32Array.from(library.encode(prompt, { add_special_tokens: false }).ids),
  };
}

async function run(subject: Subject | string | Promise<Subject | string>): Promise<object> {
  const opened = await subject;
  return typeof opened === "string" ? { skipped: opened } : compare(opened);
}

await runCases({
  "tokenize/native/demo": () => run(nativeSubject(DEMO_MODEL)),
  "tokenize/native/32k": () => run(nativeSubject(vocabularyFile("32k"))),
  "tokenize/native/128k": () => run(nativeSubject(vocabularyFile("128k"))),
  "tokenize/script/demo": () => run(scriptSubject(DEMO_MODEL)),
  "tokenize/script/32k": () => run(scriptSubject(vocabularyFile("32k"))),
  "tokenize/script/128k": () => run(scriptSubject(vocabularyFile("128k"))),
});
