import { assert } from "#lib/base/errors";
import { createBytePairEncoder } from "#lib/text/byte-pair";
import { createTokenizer, type SegmentEncoder, type Tokenizer } from "#lib/text/tokenizer";
import { checkVocabulary, type Vocabulary } from "#lib/text/vocabulary";
import { type Answered, serveOrders } from "../thread/serve.ts";
import type { WholeText } from "./remote-encoder.ts";

/** What a thread is told. A vocabulary is opened with the first text that needs it; keys are never used twice. */
export type EncodingOrder =
  | { readonly kind: "open"; readonly key: number; readonly vocabulary: Uint8Array; readonly first: EncodingOrder }
  | { readonly kind: "encode"; readonly key: number; readonly texts: readonly string[] }
  | { readonly kind: "whole"; readonly key: number; readonly text: WholeText }
  | { readonly kind: "close"; readonly key: number };

/** A vocabulary that was opened; the tokenizer is made when a whole text comes. */
interface Open {
  readonly vocabulary: Vocabulary;
  readonly encoder: SegmentEncoder;
  tokenizer: Tokenizer | undefined;
}

const open = new Map<number, Open>([]);

function openOf(key: number): Open {
  const found = open.get(key);
  assert(found, "a vocabulary is opened before it is used");
  return found;
}

function answer(tokens: readonly Uint32Array[]): Answered<Uint32Array[]> {
  const owned = tokens.map((each) => new Uint32Array(each));
  return { answer: owned, transfer: owned.map(({ buffer }) => buffer) };
}

function wholeTokens(key: number, { utf8, content }: WholeText): Uint32Array {
  const found = openOf(key);
  const { vocabulary, encoder } = found;
  // Nothing is remembered: long texts do not come twice, and the memory of this thread is its own.
  found.tokenizer ??= createTokenizer(vocabulary, { encoder, cacheBytes: 0 });
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(utf8);
  return found.tokenizer.encode(text, { parseSpecial: true, content });
}

function handle(order: EncodingOrder): Answered<Uint32Array[]> | undefined {
  switch (order.kind) {
    case "open": {
      const vocabulary = checkVocabulary(order.vocabulary);
      open.set(order.key, { vocabulary, encoder: createBytePairEncoder(vocabulary), tokenizer: undefined });
      return handle(order.first);
    }
    case "encode":
      return answer(order.texts.map((text) => openOf(order.key).encoder.encode(text)));
    case "whole":
      return answer([wholeTokens(order.key, order.text)]);
    case "close":
      open.delete(order.key);
      return undefined;
  }
}

serveOrders(handle);
