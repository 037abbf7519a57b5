import type { TokenDecoder } from "#lib/text/detokenizer";
import type { ContentPart, RenderOptions, TemplateLimits } from "#lib/text/template";

/** One message as the template takes it. */
export interface TemplateMessage {
  /** As the API has it, such as user. */
  readonly role: string;
  /** Its text, or parts that are text; null where it only calls tools. */
  readonly content: string | readonly ContentPart[] | null;
  /** Who said it, where several have one role. */
  readonly name?: string;
  /** Of an assistant, each as the API has it. */
  readonly tool_calls?: readonly unknown[];
  /** Of a tool: the call that it answers. */
  readonly tool_call_id?: string;
  /** Of an assistant: how it came to what it said. */
  readonly reasoning_content?: string;
}

/** A conversation, and how a template is to render it. */
export interface TemplateConversation
  extends Pick<RenderOptions, "variables" | "addGenerationPrompt" | "continueFinalMessage"> {
  /** In order. */
  readonly messages: readonly TemplateMessage[];
}

/** What a chat template is rendered with beside its messages. */
export interface TemplateText {
  /** What one rendering may take. */
  readonly limits: TemplateLimits;
  /** Jinja. */
  readonly source: string;
  /** Text of the begin token; undefined without one. */
  readonly bosToken: string | undefined;
  /** Text of the end token; undefined without one. */
  readonly eosToken: string | undefined;
}

/** A prompt as a template rendered it. */
export interface RenderedPrompt {
  /** All of it; one that was rendered in a thread as UTF-8. */
  readonly text: string | Uint8Array;
  /** The same in pieces, for who needs it not in one: `text` is put together when it is asked for then. */
  readonly parts?: readonly string[];
  /** Where it came from the conversation and not from the template: start and end in UTF-16 units, in turn, rising. */
  readonly content: readonly number[];
}

/** Everything about the text of one model, opened from its artifacts. */
export interface ModelText {
  /** Ids are below this. */
  readonly vocabularySize: number;
  /** The template, for who renders elsewhere. Throws UNSUPPORTED_FEATURE for a model without one. */
  template(): TemplateText;
  /** The prompt of a conversation, up to where the model answers. Throws INVALID_TEMPLATE or UNSUPPORTED_FEATURE. */
  renderChat(conversation: TemplateConversation): RenderedPrompt;
  /** Whether the template may ask for a variable. */
  readsVariable(name: string): boolean;
  /**
   * Tokens of a rendered prompt: names of special tokens in it become those tokens. In its content no control token is
   * named, unless the model's texts are opened so. Nobody may write to them: they may be the beginning of other prompts.
   */
  encodePrompt(prompt: RenderedPrompt): Uint32Array | Promise<Uint32Array>;
  /** Tokens of plain text, a long one as UTF-8, with the model's begin token, if it has one. */
  encodeText(text: string | Uint8Array): Uint32Array | Promise<Uint32Array>;
  /** Tokens that a text of so many UTF-16 units, or bytes of UTF-8, has at least. */
  leastTokens(length: number): number;
  /** A decoder of its own for one choice. */
  createDecoder(): TokenDecoder;
  /** Bytes of one token; special tokens by their names. */
  piece(token: number): Uint8Array;
  /** Gives back what it holds in native memory and threads; nothing is encoded any more. */
  close(): Promise<void> | void;
}
