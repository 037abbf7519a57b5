import { StatorError } from "#lib/base/errors";
import type { ModelText, StopSearch, TemplateMessage, TextTools } from "../text/model-text.ts";

/** Tokens of the byte text that are no bytes. */
export const BYTE_TEXT = { begin: 256, end: 257, vocabularySize: 258 } as const;

/** A model text for rehearsals: every byte of UTF-8 is a token. */
export function createByteText(): ModelText {
  return {
    vocabularySize: BYTE_TEXT.vocabularySize,
    renderChat(messages: readonly TemplateMessage[]): string {
      if (messages.at(-1)?.role === "assistant") {
        throw new StatorError("INVALID_TEMPLATE", { detail: "the last message is the model's own" });
      }
      return messages.map(({ role, content }) => `${role}: ${content ?? ""}\n`).join("");
    },
    encodePrompt: encodeBytes,
    encodeText: (text) => Uint32Array.of(BYTE_TEXT.begin, ...encodeBytes(text)),
    createDecoder() {
      const decoder = new TextDecoder("utf-8");
      return {
        push: (tokens) => decoder.decode(Uint8Array.from(tokens.filter((token) => token < 256)), { stream: true }),
        end: () => decoder.decode(),
      };
    },
    piece: (token) => (token < 256 ? Uint8Array.of(token) : Buffer.from(`<${token}>`)),
    close() {},
  };
}

/** The bytes of a text as tokens. */
export function encodeBytes(text: string): Uint32Array {
  return Uint32Array.from(Buffer.from(text));
}

/** Text tools for rehearsals: a stop search by the definition, and grammars that only say what they are for. */
export const byteTextTools: TextTools = {
  createStopSearch: (stops, { include }) => new PlainStopSearch(stops, include),
  jsonObjectGrammar: () => 'root ::= "{}"',
  jsonSchemaGrammar(schema) {
    if (typeof schema !== "object" || schema === null || !("type" in schema)) {
      throw new StatorError("UNSUPPORTED_SCHEMA", { keyword: "nothing", path: "#" });
    }
    return 'root ::= "{}"';
  },
};

/** Holds back the longest end of what was said that some stop text begins with. */
class PlainStopSearch implements StopSearch {
  found: string | undefined;
  readonly #stops: readonly string[];
  readonly #include: boolean;
  #held = "";

  constructor(stops: readonly string[], include: boolean) {
    this.#stops = stops;
    this.#include = include;
  }

  push(text: string): string {
    if (this.found !== undefined) return "";
    const said = this.#held + text;
    let first = said.length;
    for (const stop of this.#stops) {
      const at = said.indexOf(stop);
      if (at < 0 || at >= first) continue;
      first = at;
      this.found = stop;
    }
    if (this.found !== undefined) return said.slice(0, first) + (this.#include ? this.found : "");
    let keep = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, said.length); length > keep; length--) {
        if (said.endsWith(stop.slice(0, length))) keep = length;
      }
    }
    this.#held = said.slice(said.length - keep);
    return said.slice(0, said.length - keep);
  }

  end(): string {
    const rest = this.#held;
    this.#held = "";
    return this.found === undefined ? rest : "";
  }
}
