import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { NativeAddon } from "#lib/native/addon";
import type { Llama } from "#lib/native/llama";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { TOKEN_BIT } from "#lib/text/special";
import { type ChatTemplate, compileTemplate, TEMPLATE_LIMITS, type TemplateLimits } from "#lib/text/template";
import { readTokens, type Tokens } from "#lib/text/tokenizer";
import { checkVocabulary, VOCABULARY_FORMAT, type Vocabulary } from "#lib/text/vocabulary";
import type { ModelText } from "../text/model-text.ts";
import { Gate, type PromptEncoder } from "./encoder.ts";
import { openNativeEncoder } from "./native-encoder.ts";
import { createTally, type PromptTally } from "./prompt-memory.ts";
import { openScriptEncoder } from "./script-encoder.ts";
import { ThreadPool } from "./thread-pool.ts";

/** How the texts of models are opened. */
export interface TextOpenerOptions {
  /** The native addon; without it text is encoded in JavaScript. */
  readonly addon: NativeAddon | undefined;
  /** Opens the engine library, for vocabularies that the addon does not know. Default: there is none. */
  readonly library?: () => Llama | undefined;
  /** For templates that ask for the date, and for how long threads may be idle. */
  readonly clock: Clock;
  /** Told of threads that ended by themselves. */
  readonly log: Log;
  /** Threads that encode in JavaScript, when it comes to that. Default 1. */
  readonly threads?: number;
  /** Long texts that may be encoded or wait at once. Default 256. */
  readonly queueLimit?: number;
  /** Bound of each model's cache of encoded text. Default 16 MiB. */
  readonly cacheBytes?: number;
  /** What one rendering of a chat template may take. Default `TEMPLATE_LIMITS`. */
  readonly templateLimits?: TemplateLimits;
}

const DEFAULT_CACHE_BYTES = 16 << 20;

/** A model's artifacts, their digests checked. */
export interface TextArtifacts {
  /** As its format has it. Kept. */
  readonly tokenizer: Uint8Array;
  /** Only `VOCABULARY_FORMAT` can be opened. */
  readonly tokenizerFormat: string;
  /** Jinja; undefined for a model without a chat template. */
  readonly template: string | undefined;
  /** What is spelled like a control token in a message is one. Default false: it is text. */
  readonly markersInContent?: boolean;
}

/** Opens texts; owns the threads that they share. */
export interface TextOpener {
  /** What is remembered of prompts, over all models. */
  readonly prompts: Readonly<PromptTally>;
  /** Throws BAD_MODEL_FILE or UNSUPPORTED_FEATURE for a tokenizer that cannot be used. */
  open(artifacts: TextArtifacts): Promise<ModelText>;
  /** Ends the threads. Texts are closed by whoever has them. */
  close(): Promise<void>;
}

function noTemplate(): StatorError {
  const detail = "the model has no chat template; use /v1/completions";
  return new StatorError("UNSUPPORTED_FEATURE", { feature: "Chat", detail });
}

/** A model's template; one that cannot be used is told now, and answers every conversation with why. */
function templateOf(
  source: string | undefined,
  { clock, log, templateLimits }: Pick<TextOpenerOptions, "clock" | "log" | "templateLimits">,
): ChatTemplate {
  const refuse = (error: StatorError): ChatTemplate => ({
    render() {
      throw error;
    },
    reads: () => true,
  });
  if (source === undefined) return refuse(noTemplate());
  try {
    return compileTemplate(source, clock, templateLimits);
  } catch (caught) {
    const error = asStatorError(caught);
    log.warn("a model's chat template cannot be used", { detail: error.message });
    return refuse(error);
  }
}

function nameOf(tokens: Tokens, token: number | undefined): string | undefined {
  return token === undefined ? undefined : new TextDecoder().decode(tokens.pieceBytes(token));
}

/** Most bytes of a text that one token stands for; Infinity where one may stand for any number. */
function longestPiece({ kind }: Vocabulary, { pieces, specials }: Tokens): number {
  const strips = specials.some(({ bits }) => (bits & (TOKEN_BIT.stripLeft | TOKEN_BIT.stripRight)) !== 0);
  // What is unknown is one token there, however long; with "t5" extra spaces are none.
  if (strips || kind === "bert" || kind === "t5") return Number.POSITIVE_INFINITY;
  let longest = 4;
  for (let id = 0; id + 1 < pieces.offsets.length; id++) {
    longest = Math.max(longest, (pieces.offsets[id + 1] ?? 0) - (pieces.offsets[id] ?? 0));
  }
  return longest;
}

/** A vocabulary, read once, and what encodes by it. */
interface OpenVocabulary {
  readonly vocabulary: Vocabulary;
  readonly tokens: Tokens;
  readonly encoder: PromptEncoder;
}

function modelText(
  { vocabulary, tokens, encoder }: OpenVocabulary,
  options: TextOpenerOptions & Pick<TextArtifacts, "template" | "markersInContent">,
): ModelText {
  const texts = createPieceTexts(tokens.pieces);
  const template = templateOf(options.template, options);
  const longest = longestPiece(vocabulary, tokens);
  const names = { bosToken: nameOf(tokens, tokens.bos), eosToken: nameOf(tokens, tokens.eos) };
  return {
    vocabularySize: tokens.size,
    template() {
      if (options.template === undefined) throw noTemplate();
      return { source: options.template, limits: options.templateLimits ?? TEMPLATE_LIMITS, ...names };
    },
    renderChat: ({ messages, ...how }) => template.render(messages, { ...how, ...names }),
    readsVariable: (name) => template.reads(name),
    encodePrompt: (prompt) =>
      encoder.encode(prompt.parts ?? prompt.text, {
        chat: true,
        content: options.markersInContent ? [] : prompt.content,
      }),
    encodeText: (text) => encoder.encode(text, { chat: false }),
    createDecoder: () => new Detokenizer(texts),
    leastTokens: (length) => Math.floor(length / longest),
    piece: (token) => tokens.pieceBytes(token),
    close: () => encoder.close(),
  };
}

/** Makes the opener of a process. With the addon each model is encoded in native code, else in JavaScript threads. */
export function createTextOpener(options: TextOpenerOptions): TextOpener {
  const { addon, log, queueLimit = 256, cacheBytes = DEFAULT_CACHE_BYTES } = options;
  const gate = new Gate(queueLimit);
  const tally = createTally();
  let threads: ThreadPool | undefined;
  const pool = () => (threads ??= new ThreadPool({ threads: options.threads ?? 1, queueLimit, log }));
  const library = options.library ?? (() => undefined);
  const onLibrary = (why: string) => log.info("the engine library encodes a model's text", { why });
  const openVocabulary = async (vocabulary: Vocabulary, bytes: Uint8Array): Promise<OpenVocabulary> => {
    const tokens = readTokens(vocabulary);
    const { specials } = tokens;
    const native =
      addon &&
      (await openNativeEncoder(vocabulary, bytes, {
        addon,
        library,
        specials,
        gate,
        cacheBytes,
        tally,
        onLibrary,
      }));
    const encoder = native ?? openScriptEncoder(vocabulary, bytes, { pool, tokens, cacheBytes });
    return { vocabulary, tokens, encoder };
  };
  return {
    prompts: tally,
    async open({ tokenizer: bytes, tokenizerFormat, template, markersInContent }) {
      if (tokenizerFormat !== VOCABULARY_FORMAT) {
        const feature = `A tokenizer of the format ${tokenizerFormat.slice(0, 40)}`;
        throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail: `only ${VOCABULARY_FORMAT} is known` });
      }
      const vocabulary = checkVocabulary(bytes, "The model's tokenizer");
      const opened = await openVocabulary(vocabulary, bytes);
      return modelText(opened, { ...options, template, markersInContent });
    },
    close: async () => await threads?.close(),
  };
}
