import type { TokenDecoder } from "#lib/text/detokenizer";

/** One message as the template takes it. */
export interface TemplateMessage {
  readonly role: string;
  readonly content: string | null;
  readonly name?: string;
  readonly tool_calls?: readonly unknown[];
  readonly tool_call_id?: string;
}

/** What a chat template is rendered with beside its messages. */
export interface TemplateText {
  /** Jinja. */
  readonly source: string;
  readonly bosToken: string;
  readonly eosToken: string;
}

/** A prompt as a template rendered it. */
export interface RenderedPrompt {
  /** A long one as UTF-8. */
  readonly text: string | Uint8Array;
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
  renderChat(messages: readonly TemplateMessage[]): RenderedPrompt;
  /**
   * Tokens of a rendered prompt: names of special tokens in it become those tokens. In its content no control token is
   * named, unless the model's texts are opened so.
   */
  encodePrompt(prompt: RenderedPrompt): Uint32Array | Promise<Uint32Array>;
  /** Tokens of plain text, a long one as UTF-8, with the model's begin token, if it has one. */
  encodeText(text: string | Uint8Array): Uint32Array | Promise<Uint32Array>;
  /** Tokens that a text has at least, from its length alone. */
  leastTokens(text: string | Uint8Array): number;
  createDecoder(): TokenDecoder;
  /** Bytes of one token; special tokens by their names. */
  piece(token: number): Uint8Array;
  close(): Promise<void> | void;
}
