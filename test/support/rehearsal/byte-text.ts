import { StatorError } from "#lib/base/errors";
import type { Grammars, ModelText, TemplateMessage } from "#services/frontend/text/model-text";

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
      let length = 0;
      const count = (text: string): string => {
        length += [...text].length;
        return text;
      };
      return {
        push(tokens, from = 0, to = tokens.length) {
          const bytes = Uint8Array.from(tokens.subarray(from, to).filter((token) => token < 256));
          return count(decoder.decode(bytes, { stream: true }));
        },
        end: () => count(decoder.decode()),
        get length() {
          return length;
        },
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

/** Grammars that only say what they are for. */
export const rehearsalGrammars: Grammars = {
  jsonObject: () => 'root ::= "{}"',
  jsonSchema(schema) {
    if (typeof schema === "object" && schema !== null && "type" in schema) return 'root ::= "{}"';
    throw new StatorError("UNSUPPORTED_SCHEMA", { keyword: "nothing", path: "#" });
  },
};
