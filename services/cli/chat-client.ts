import { StatorError } from "#lib/base/errors";

/** One message of a conversation. */
export interface ChatMessage {
  /** Who says it. */
  readonly role: "system" | "user" | "assistant";
  /** All of its text. */
  readonly content: string;
}

/** What is talked to, and how. */
export interface ChatSettings {
  /** Such as http://127.0.0.1:8000. */
  readonly base: string;
  /** By its name in the API. */
  readonly model: string;
  /** The model's own when undefined. */
  readonly temperature: number | undefined;
  /** Longest answer; undefined: the frontend's own, or 128 where the model continues a text. */
  readonly maxTokens: number | undefined;
  /** Cuts the answer that is running. */
  readonly signal: AbortSignal;
}

/** An answer that has ended. */
export interface ChatAnswer {
  /** All pieces that `onText` got. */
  readonly text: string;
  /** Tokens of the answer, as the frontend counted them; 0 when it did not say. */
  readonly tokens: number;
  /** From the question to the first text; without any text, to the end. */
  readonly firstMs: number;
  /** From the first text to the end. */
  readonly restMs: number;
}

/** A text has no end of its own for a model that only continues it. */
const USUAL_CONTINUATION_TOKENS = 128;
const NO_TEMPLATE = "unsupported_feature";

/** Talks to a frontend over its public API. A model without a chat template continues the conversation as a text. */
export class ChatClient {
  readonly #settings: ChatSettings;
  #continues = false;

  constructor(settings: ChatSettings) {
    this.#settings = settings;
  }

  /** Whether the model turned out to have no chat template. */
  get continues(): boolean {
    return this.#continues;
  }

  /** Answers; `onText` gets each piece as it comes. Throws INVALID_ARGUMENT with what the frontend said, UNAVAILABLE. */
  async answer(messages: readonly ChatMessage[], onText: (text: string) => void): Promise<ChatAnswer> {
    const askedMs = performance.now();
    const response = await this.#ask(messages);
    let text = "";
    let tokens = 0;
    let firstMs: number | undefined;
    for await (const data of serverSentData(response)) {
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error) throw refused(chunk.error.message);
      const [choice] = chunk.choices ?? [];
      const piece = choice?.delta?.content ?? choice?.text ?? "";
      if (piece !== "") {
        firstMs ??= performance.now() - askedMs;
        text += piece;
        onText(piece);
      }
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    const allMs = performance.now() - askedMs;
    firstMs ??= allMs;
    return { text, tokens, firstMs, restMs: allMs - firstMs };
  }

  async #ask(messages: readonly ChatMessage[]): Promise<Response> {
    const { base, model, temperature, maxTokens, signal } = this.#settings;
    const shared = { model, stream: true, stream_options: { include_usage: true }, temperature, max_tokens: maxTokens };
    if (!this.#continues) {
      const response = await request(`${base}/v1/chat/completions`, { ...shared, messages }, signal);
      if (response.ok) return response;
      const error = await errorOf(response);
      if (error.code !== NO_TEMPLATE) throw refused(error.message);
      this.#continues = true;
    }
    const prompt = messages.map(({ content }) => content).join("\n");
    const body = { ...shared, prompt, max_tokens: maxTokens ?? USUAL_CONTINUATION_TOKENS };
    const response = await request(`${base}/v1/completions`, body, signal);
    if (response.ok) return response;
    throw refused((await errorOf(response)).message);
  }
}

interface Chunk {
  readonly error?: { readonly message: string };
  readonly choices?: readonly { readonly delta?: { readonly content?: string }; readonly text?: string }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

/** GETs JSON from a frontend. Throws UNAVAILABLE with what to do, and INVALID_ARGUMENT with what it said. */
export async function readJson<Body>(url: string): Promise<Body> {
  const response = await request(url);
  if (!response.ok) throw refused((await errorOf(response)).message);
  return (await response.json()) as Body;
}

/** What a frontend says of itself. */
export interface FrontendHealth {
  /** Models that a request would be answered for now. */
  readonly models: readonly string[];
  /** host:port of its operators' port, where it tells. */
  readonly operators?: string;
}

/** Reads the health of a frontend; 503 has a body too. Throws UNAVAILABLE when it is no frontend of ours. */
export async function readHealth(base: string): Promise<FrontendHealth> {
  const response = await request(`${base}/health`);
  const said = (await response.json().catch(() => undefined)) as Partial<FrontendHealth> | undefined;
  if (said?.models) return { ...said, models: said.models };
  throw new StatorError("UNAVAILABLE", { what: base, detail: "what answers there is no frontend of Stator" });
}

/** Like fetch, with one sentence when nobody answers. `body` makes it a POST. Throws UNAVAILABLE. */
export async function request(url: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  try {
    const headers = { "content-type": "application/json" };
    const post = { method: "POST", headers, body: JSON.stringify(body), signal: signal ?? null };
    return await fetch(url, body === undefined ? {} : post);
  } catch (error) {
    const detail = "start a frontend with `npm start`, or name another with --http-host and --http-port";
    throw new StatorError("UNAVAILABLE", { what: new URL(url).origin, detail }, { cause: error });
  }
}

async function errorOf(response: Response): Promise<{ message: string; code: string | undefined }> {
  const said = (await response.json().catch(() => undefined)) as { error?: { message?: string; code?: string } };
  return { message: said?.error?.message ?? `${response.url} answered ${response.status}`, code: said?.error?.code };
}

/** What a frontend said, without the full stop, which the table of errors sets itself. */
function refused(message: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: message.replace(/\.$/, "") });
}

async function* serverSentData(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of response.body ?? []) {
    rest += decoder.decode(bytes, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop() ?? "";
    for (const event of events) {
      if (event === "data: [DONE]") return;
      if (event.startsWith("data: ")) yield event.slice(6);
    }
  }
}
