import { createBytePairEncoder, wordRule } from "#lib/text/byte-pair";
import { createTokenizer, type Tokens } from "#lib/text/tokenizer";
import type { Vocabulary } from "#lib/text/vocabulary";
import { createWordEncoder } from "#lib/text/words";
import type { PromptEncoder } from "./encoder.ts";
import type { ThreadPool } from "./thread-pool.ts";

/** Unknown text of at most so many UTF-16 units is encoded at once: about a millisecond. */
const INLINE_UNITS = 1536;

/**
 * What of a text is looked at on the event loop, to find what the cache knows: beyond any of these it is encoded as a
 * whole, elsewhere, and the cache does not take part.
 */
const MOST_INLINE = { units: 131_072, specials: 32_768, missing: 256 } as const;

/** What a script encoder is opened with. */
export interface ScriptEncoderOptions {
  /** Makes the threads when they are first needed. */
  readonly pool: () => ThreadPool;
  /** Of the vocabulary. */
  readonly tokens: Tokens;
  /** Bytes of memory for what was encoded before. */
  readonly cacheBytes: number;
}

/**
 * An encoder in JavaScript, for machines without the native layer: little is encoded at once, much in the pool's threads.
 * Throws UNSUPPORTED_FEATURE for a vocabulary that it cannot encode.
 * @param bytes the artifact from which the vocabulary was read
 */
export function openScriptEncoder(
  vocabulary: Vocabulary,
  bytes: Uint8Array,
  { pool, tokens, cacheBytes }: ScriptEncoderOptions,
): PromptEncoder {
  const plain = createBytePairEncoder(vocabulary);
  const rule = wordRule(vocabulary);
  const local = rule ? createWordEncoder(plain, rule) : plain;
  const remote = pool().open(bytes);
  const tokenizer = createTokenizer(vocabulary, { encoder: local, tokens, cacheBytes });
  return {
    encode(given, options) {
      const text = typeof given === "string" || given instanceof Uint8Array ? given : given.join("");
      const encoding =
        typeof text === "string" && text.length <= MOST_INLINE.units
          ? tokenizer.prepareWithin(MOST_INLINE.specials, text, options)
          : undefined;
      if (encoding && encoding.missingUnits <= INLINE_UNITS) {
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
    },
    close: () => remote.close(),
  };
}
