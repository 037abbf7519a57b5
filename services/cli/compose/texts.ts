import { StatorError } from "#lib/base/errors";
import type { Closable } from "#lib/host/scope";
import { createBytePairEncoder } from "#lib/text/byte-pair";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { jsonObjectGrammar, jsonSchemaGrammar } from "#lib/text/grammar/grammar";
import { compileTemplate } from "#lib/text/template";
import { createTokenizer } from "#lib/text/tokenizer";
import { checkVocabulary } from "#lib/text/vocabulary";
import type { OpenModelText } from "#services/frontend/models/registry";
import type { Grammars } from "#services/frontend/text/model-text";
import type { CommandContext } from "../command.ts";

/** What a frontend needs to turn text into tokens and back. */
export interface Texts extends Closable {
  readonly open: OpenModelText;
  readonly grammars: Grammars;
}

export async function openTexts({ values }: CommandContext): Promise<Texts> {
  return {
    grammars: { jsonObject: jsonObjectGrammar, jsonSchema: jsonSchemaGrammar },
    async open({ tokenizer: bytes, template: source }) {
      const vocabulary = checkVocabulary(bytes);
      const tokenizer = createTokenizer(vocabulary, {
        encoder: createBytePairEncoder(vocabulary),
        cacheBytes: values["tokenizer.cache-bytes"],
      });
      const texts = createPieceTexts(tokenizer.pieces);
      const template = source === undefined ? undefined : compileTemplate(source);
      return {
        vocabularySize: tokenizer.size,
        renderChat(messages) {
          if (!template)
            throw new StatorError("UNSUPPORTED_FEATURE", { feature: "chat", detail: "the model has no chat template" });
          return template.render(messages as never);
        },
        encodePrompt: (prompt) => tokenizer.encodeChat(prompt),
        encodeText: (text) => tokenizer.encode(text, { addSpecial: true }),
        createDecoder: () => new Detokenizer(texts),
        piece: (token) => tokenizer.pieceBytes(token),
        close() {},
      };
    },
    close() {},
  };
}
