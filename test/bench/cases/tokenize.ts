// Tokenizing a chat prompt of 8k tokens in 41 messages: the encoder that the frontend uses, in native code and without
// the addon, against a library's encoding of the whole prompt, as ratios of CPU time in one run, on words that neither has
// seen.
//   node test/bench/cases/tokenize.ts [NAME_PART]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Tokenizer as ScriptLibrary } from "@huggingface/tokenizers";
import { systemClock } from "#lib/host/system-clock";
import { createBytePairEncoder, tokenizerJson } from "#lib/text/byte-pair";
import { parseGgufHeader } from "#lib/text/gguf";
import { type ChatTemplate, compileTemplate, type Prompt } from "#lib/text/template";
import { createTokenizer } from "#lib/text/tokenizer";
import { chatTemplateOf, checkVocabulary, extractVocabulary } from "#lib/text/vocabulary";
import type { PromptEncoder } from "#services/frontend/tokenize/encoder";
import { DEMO_MODEL, openNative } from "../../support/engine-driver.ts";
import { vocabularyFile } from "../cache.ts";
import { cpuUs, medianFigures, runCases, timed, volume } from "../harness.ts";
import { openFrontendEncoder } from "../models.ts";
import { TextWriter } from "../text.ts";

const MESSAGES = 41;
const PROMPT_TOKENS = volume(8192, 1024);
const ROUNDS = volume(60, 3);

const writer = new TextWriter(1);

/** A prompt on its way to tokens. */
type Encode = (prompt: Prompt) => Uint32Array | Promise<Uint32Array>;

interface Subject {
  readonly template: ChatTemplate;
  /** Encoders that have not seen the text of a round. */
  readonly open: () => { readonly fresh: Encode; readonly grown: Encode };
  /** The library's own encoding of a whole prompt, special tokens parsed. */
  readonly library: (prompt: string) => Uint32Array;
}

/** A conversation of 41 messages with about so many tokens, different in each round. */
function conversation({ library }: Subject): { role: string; content: string }[] {
  const perMessage = PROMPT_TOKENS / MESSAGES - 5;
  return Array.from({ length: MESSAGES }, (_, at) => {
    let content = "";
    while (library(content).length < perMessage) content += writer.words(9);
    return { role: at === 0 ? "system" : at % 2 === 1 ? "user" : "assistant", content };
  });
}

/** Rounds in turn, so that what disturbs one disturbs the other. Each round has a new conversation. */
async function compare(subject: Subject) {
  const { template, open, library } = subject;
  const times: { libraryUs: number; newUs: number; seenUs: number; tokens: number }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const messages = conversation(subject);
    const prompt = template.render(messages);
    const { fresh, grown } = open();
    await grown(template.render(messages.slice(0, -1), { addGenerationPrompt: false }));
    const [libraryUs, theirs] = await timed(cpuUs, () => library(prompt.text));
    const [newUs, own] = await timed(cpuUs, () => fresh(prompt));
    const [seenUs] = await timed(cpuUs, () => grown(prompt));
    if (own.join() !== theirs.join()) throw new Error("the two disagree");
    times.push({ libraryUs, newUs, seenUs, tokens: own.length });
  }
  const figures = medianFigures(times);
  return { ...figures, new: figures.newUs / figures.libraryUs, seen: figures.seenUs / figures.libraryUs };
}

/** The frontend's encoders are open for long: only the text is new to them. */
async function nativeSubject(file: string): Promise<Subject | string> {
  const native = openNative();
  if (native.reason !== undefined) return native.reason;
  const header = parseGgufHeader(readFileSync(file), "the vocabulary");
  const bytes = extractVocabulary(header);
  const folder = mkdtempSync(path.join(tmpdir(), "stator-bench-"));
  writeFileSync(path.join(folder, "v.gguf"), bytes);
  const vocab = await native.llama.openVocab(path.join(folder, "v.gguf"));
  rmSync(folder, { recursive: true });
  const model = { addon: native.addon, bytes, vocabulary: checkVocabulary(bytes) };
  const [one, other] = [await openFrontendEncoder(model), await openFrontendEncoder(model)];
  const by =
    (encoder: PromptEncoder): Encode =>
    ({ text, content }) =>
      encoder.encode(text, { chat: true, content });
  return {
    template: compileTemplate(chatTemplateOf(header) ?? "", systemClock),
    open: () => ({ fresh: by(one), grown: by(other) }),
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
  const openOne = (): Encode => {
    const tokenizer = createTokenizer(vocabulary, { encoder });
    return ({ text, content }) => tokenizer.encodeChat(text, content);
  };
  return {
    template: compileTemplate(chatTemplateOf(header) ?? "", systemClock),
    open: () => ({ fresh: openOne(), grown: openOne() }),
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
