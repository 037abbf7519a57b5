import { systemClock } from "#lib/host/system-clock";
import { compileTemplate, TEMPLATE_LIMITS } from "#lib/text/template";
import type { ModelText } from "#services/frontend/text/model-text";

/** Tokens of the byte text that are no bytes. */
export const BYTE_TEXT = { begin: 256, end: 257, vocabularySize: 258 } as const;

const TEMPLATE =
  "{% if messages[-1].role == 'assistant' %}{{ raise_exception(\"the last message is the model's own\") }}{% endif %}" +
  "{% for message in messages %}{{ message.role }}: {{ message.content or '' }}\n{% endfor %}";

/** A model text for rehearsals: every byte of UTF-8 is a token. */
export function createByteText(): ModelText {
  const template = compileTemplate(TEMPLATE, systemClock);
  return {
    vocabularySize: BYTE_TEXT.vocabularySize,
    template: () => ({ source: TEMPLATE, limits: TEMPLATE_LIMITS, bosToken: "", eosToken: "" }),
    renderChat: ({ messages, ...how }) => template.render(messages, how),
    readsVariable: (name) => template.reads(name),
    encodePrompt: ({ text }) => encodeBytes(text),
    encodeText(text) {
      const bytes = typeof text === "string" ? Buffer.from(text) : text;
      const tokens = new Uint32Array(bytes.length + 1);
      tokens[0] = BYTE_TEXT.begin;
      tokens.set(bytes, 1);
      return tokens;
    },
    leastTokens: (length) => length,
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
export function encodeBytes(text: string | Uint8Array): Uint32Array {
  return new Uint32Array(Buffer.from(text));
}
