import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Llama } from "#lib/native/llama";
import { createBytePairEncoder, wordRule } from "#lib/text/byte-pair";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { TOKEN_BIT } from "#lib/text/special";
import { type ChatTemplate, compileTemplate, TEMPLATE_LIMITS, type TemplateLimits } from "#lib/text/template";
import { createTokenizer, type FrameOptions, type SegmentEncoder, type Tokenizer } from "#lib/text/tokenizer";
import { checkVocabulary, VOCABULARY_FORMAT, type Vocabulary } from "#lib/text/vocabulary";
import { createWordEncoder } from "#lib/text/words";
import type { ModelText } from "../text/model-text.ts";
import { openNativeVocabulary } from "./native-vocabulary.ts";
import { Gate, type RemoteEncoder } from "./remote-encoder.ts";
import { ThreadPool } from "./thread-pool.ts";
import { WholeEncoders } from "./whole.ts";

/** How the texts of models are opened. */
export interface TextOpenerOptions {
  /** The native library; without it text is encoded in JavaScript. */
  readonly llama: Llama | undefined;
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
  /** Throws BAD_MODEL_FILE or UNSUPPORTED_FEATURE for a tokenizer that cannot be used. */
  open(artifacts: TextArtifacts): Promise<ModelText>;
  /** Ends the threads. Texts are closed by whoever has them. */
  close(): Promise<void>;
}

/** Unknown text of at most so many UTF-16 units is encoded at once: about a millisecond. */
const INLINE_UNITS = { native: 8192, script: 1536 } as const;

/** The two ways to encode the text of one model. */
interface Encoders {
  readonly local: SegmentEncoder;
  readonly remote: RemoteEncoder;
  readonly inlineUnits: number;
}

/** Remembers words where words decide. */
function remembering(encoder: SegmentEncoder, vocabulary: Vocabulary): SegmentEncoder {
  const rule = wordRule(vocabulary);
  return rule ? createWordEncoder(encoder, rule) : encoder;
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

function nameOf(tokenizer: Tokenizer, token: number | undefined): string | undefined {
  return token === undefined ? undefined : new TextDecoder().decode(tokenizer.pieceBytes(token));
}

/**
 * What of a text is looked at on the event loop, to find what the cache knows: beyond any of these it is encoded as a
 * whole, elsewhere, and the cache does not take part.
 */
const MOST_INLINE = { units: 131_072, specials: 32_768, missing: 256 } as const;

/** Encodes what the cache did not know: at once when it is little, else elsewhere. */
function encode(
  text: string | Uint8Array,
  options: FrameOptions,
  { tokenizer, encoders }: { tokenizer: Tokenizer; encoders: Encoders },
): Uint32Array | Promise<Uint32Array> {
  const encoding =
    typeof text === "string" && text.length <= MOST_INLINE.units
      ? tokenizer.prepareWithin(MOST_INLINE.specials, text, options)
      : undefined;
  const { local, remote, inlineUnits } = encoders;
  if (encoding && encoding.missingUnits <= inlineUnits) {
    for (const [at, each] of encoding.missing.entries()) encoding.provide(at, local.encode(each));
    return encoding.finish();
  }
  if (encoding && encoding.missing.length <= MOST_INLINE.missing) {
    return remote.encode(encoding.missing).then((found) => {
      for (const [at, tokens] of found.entries()) encoding.provide(at, tokens);
      return encoding.finish();
    });
  }
  const utf8 = typeof text === "string" ? Buffer.from(text) : text;
  const tokens = remote.encodeWhole({ utf8, content: options.content ?? [] });
  return tokens.then((found) => tokenizer.frame(found, options));
}

/** Most UTF-16 units, or bytes, of a text that one token stands for; Infinity where one may stand for any number. */
function longestPiece({ kind }: Vocabulary, { pieces, specials }: Tokenizer): number {
  const strips = specials.some(({ bits }) => (bits & (TOKEN_BIT.stripLeft | TOKEN_BIT.stripRight)) !== 0);
  // Unknown words are one token each there, however long.
  if (strips || kind === "bert") return Number.POSITIVE_INFINITY;
  let longest = 4;
  for (let id = 0; id + 1 < pieces.offsets.length; id++) {
    longest = Math.max(longest, (pieces.offsets[id + 1] ?? 0) - (pieces.offsets[id] ?? 0));
  }
  return longest;
}

function modelText(
  vocabulary: Vocabulary,
  encoders: Encoders,
  options: TextOpenerOptions & Pick<TextArtifacts, "template" | "markersInContent">,
): ModelText {
  const tokenizer = createTokenizer(vocabulary, { encoder: encoders.local, cacheBytes: options.cacheBytes });
  const texts = createPieceTexts(tokenizer.pieces);
  const template = templateOf(options.template, options);
  const longest = longestPiece(vocabulary, tokenizer);
  const names = { bosToken: nameOf(tokenizer, tokenizer.bos), eosToken: nameOf(tokenizer, tokenizer.eos) };
  const way = { tokenizer, encoders };
  return {
    vocabularySize: tokenizer.size,
    template() {
      if (options.template === undefined) throw noTemplate();
      return { source: options.template, limits: options.templateLimits ?? TEMPLATE_LIMITS, ...names };
    },
    renderChat: ({ messages, ...how }) => template.render(messages, { ...how, ...names }),
    readsVariable: (name) => template.reads(name),
    encodePrompt: ({ text, content }) =>
      encode(text, { chat: true, content: options.markersInContent ? [] : content }, way),
    encodeText: (text) => encode(text, { chat: false }, way),
    createDecoder: () => new Detokenizer(texts),
    leastTokens: (text) => Math.floor(text.length / longest),
    piece: (token) => tokenizer.pieceBytes(token),
    close: () => encoders.remote.close(),
  };
}

/** Makes the opener of a process. With the native library each model is encoded by it, else in JavaScript threads. */
export function createTextOpener(options: TextOpenerOptions): TextOpener {
  const queueLimit = options.queueLimit ?? 256;
  const gate = new Gate(queueLimit);
  const { clock } = options;
  let pool: ThreadPool | undefined;
  let wholes: WholeEncoders | undefined;
  const encodersOf = async (vocabulary: Vocabulary, bytes: Uint8Array): Promise<Encoders> => {
    if (options.llama) {
      wholes ??= new WholeEncoders({ clock, log: options.log });
      const native = await openNativeVocabulary(options.llama, { vocabulary, bytes, gate, wholes });
      return { ...native, local: remembering(native.local, vocabulary), inlineUnits: INLINE_UNITS.native };
    }
    const local = remembering(createBytePairEncoder(vocabulary), vocabulary);
    pool ??= new ThreadPool({ threads: options.threads ?? 1, queueLimit, log: options.log });
    return { local, remote: pool.open(bytes), inlineUnits: INLINE_UNITS.script };
  };
  return {
    async open({ tokenizer: bytes, tokenizerFormat, template, markersInContent }) {
      if (tokenizerFormat !== VOCABULARY_FORMAT) {
        const feature = `A tokenizer of the format ${tokenizerFormat.slice(0, 40)}`;
        throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail: `only ${VOCABULARY_FORMAT} is known` });
      }
      const vocabulary = checkVocabulary(bytes, "The model's tokenizer");
      const encoders = await encodersOf(vocabulary, bytes);
      return modelText(vocabulary, encoders, { ...options, template, markersInContent });
    },
    close: async () => void (await Promise.all([pool?.close(), wholes?.close()])),
  };
}
