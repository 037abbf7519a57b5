import { readModelHeader, textArtifacts } from "#lib/engines/model-file";
import { silentLog } from "#lib/host/log";
import { TOKEN_BIT, tokenBits } from "#lib/text/special";
import { chatTemplateOf, VOCABULARY_FORMAT } from "#lib/text/vocabulary";
import type { ModelText } from "#services/frontend/text/model-text";
import type { CommandContext } from "../command.ts";
import { openTexts } from "./texts.ts";

/** A prompt as a template rendered it. */
export type Rendered = ReturnType<ModelText["renderChat"]>;
/** A conversation, and how it is to be rendered. */
export type Conversation = Parameters<ModelText["renderChat"]>[0];

/** The text of a model, from its file. */
export interface FileText {
  /** The command's scope closes it. */
  readonly text: ModelText;
  /** Whether a token is one that no text but a template's names. */
  isControl(token: number): boolean;
}

/** Opens the vocabulary and the template of a model file; the command's scope owns them. Throws what is wrong with it. */
export async function openFileText(path: string, context: CommandContext): Promise<FileText> {
  const header = await readModelHeader(path);
  const { vocabulary, artifacts } = textArtifacts(header);
  const texts = openTexts({ ...context, log: silentLog });
  context.scope.own("texts", texts);
  const tokenizer = artifacts.find(({ kind }) => kind === "tokenizer")!.content;
  const text = await texts.open({
    tokenizer,
    tokenizerFormat: VOCABULARY_FORMAT,
    template: chatTemplateOf(header),
    markersInContent: context.values["tokenizer.markers-in-content"],
  });
  context.scope.own("text", { close: async () => void (await text.close()) });
  const bits = tokenBits(vocabulary);
  return { text, isControl: (token) => ((bits[token] ?? 0) & TOKEN_BIT.control) !== 0 };
}
