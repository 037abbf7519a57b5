import { stat } from "node:fs/promises";
import { readModelHeader, textArtifacts } from "#lib/engines/model-file";
import { silentLog } from "#lib/host/log";
import { TOKEN_BIT, tokenBits } from "#lib/text/special";
import { chatTemplateOf, checkVocabulary, VOCABULARY_FORMAT } from "#lib/text/vocabulary";
import type { ModelText } from "#services/frontend/text/model-text";
import type { TextArtifacts } from "#services/frontend/tokenize/open-text";
import type { CommandContext } from "../command.ts";
import { fetchClusterText } from "./cluster-text.ts";
import { openTexts } from "./texts.ts";

/** A prompt as a template rendered it. */
export type Rendered = ReturnType<ModelText["renderChat"]>;
/** A conversation, and how it is to be rendered. */
export type Conversation = Parameters<ModelText["renderChat"]>[0];

/** The text of a model, for who looks at its tokens. */
export interface OpenedText {
  /** The command's scope closes it. */
  readonly text: ModelText;
  /** It can render conversations. */
  readonly hasTemplate: boolean;
  /** Whether a token is one that no text but a template's names. */
  isControl(token: number): boolean;
}

/**
 * Opens the vocabulary and the template of a model file or, where there is none, of the model of that name in a running
 * cluster; the command's scope owns them. Throws what is wrong with it.
 */
export async function openModelText(model: string, context: CommandContext): Promise<OpenedText> {
  const { config, values } = context;
  const artifacts = (await isFile(model)) ? await readFileText(model) : await fetchClusterText(model, context);
  const isSaid = config.sources["tokenizer.markers-in-content"] !== "default";
  const markersInContent = isSaid ? values["tokenizer.markers-in-content"] : artifacts.markersInContent;
  const texts = openTexts({ ...context, log: silentLog });
  context.scope.own("texts", texts);
  const text = await texts.open({ ...artifacts, markersInContent });
  context.scope.own("text", { close: async () => void (await text.close()) });
  const bits = tokenBits(checkVocabulary(artifacts.tokenizer));
  return {
    text,
    hasTemplate: artifacts.template !== undefined,
    isControl: (token) => ((bits[token] ?? 0) & TOKEN_BIT.control) !== 0,
  };
}

/** Whether somebody means a file: there is one, or the name is that of one. */
async function isFile(model: string): Promise<boolean> {
  if (model.endsWith(".gguf")) return true;
  const found = await stat(model).catch(() => undefined);
  return found !== undefined && !found.isDirectory();
}

async function readFileText(path: string): Promise<TextArtifacts> {
  const header = await readModelHeader(path);
  const tokenizer = textArtifacts(header).artifacts.find(({ kind }) => kind === "tokenizer")!.content;
  return { tokenizer, tokenizerFormat: VOCABULARY_FORMAT, template: chatTemplateOf(header) };
}
