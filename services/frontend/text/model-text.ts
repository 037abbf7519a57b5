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

/** Everything about the text of one model, opened from its artifacts. */
export interface ModelText {
  /** Ids are below this. */
  readonly vocabularySize: number;
  /** The template, for who renders elsewhere. Throws UNSUPPORTED_FEATURE for a model without one. */
  template(): TemplateText;
  /** The prompt of a conversation, up to where the model answers. Throws INVALID_TEMPLATE or UNSUPPORTED_FEATURE. */
  renderChat(messages: readonly TemplateMessage[]): string;
  /** Tokens of a rendered prompt, a long one as UTF-8: names of special tokens in it become those tokens. */
  encodePrompt(prompt: string | Uint8Array): Uint32Array | Promise<Uint32Array>;
  /** Tokens of plain text, a long one as UTF-8, with the model's begin token, if it has one. */
  encodeText(text: string | Uint8Array): Uint32Array | Promise<Uint32Array>;
  /** Tokens that a text has at least, from its length alone. */
  leastTokens(text: string | Uint8Array): number;
  createDecoder(): TokenDecoder;
  /** Bytes of one token; special tokens by their names. */
  piece(token: number): Uint8Array;
  close(): Promise<void> | void;
}
