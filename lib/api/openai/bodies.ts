import type { Determinism } from "#lib/base/determinism";
import type { DefaultSampling } from "#lib/base/sampling";

/** One finished choice. */
export interface FinishedChoice {
  /** All of it, not yet escaped. */
  readonly text: string;
  /** OpenAI's word, such as stop or length. */
  readonly finish: string;
  /** JSON, or undefined for null. */
  readonly logprobs: string | undefined;
}

/** A whole answer. */
export interface AnswerBody {
  /** Of the answer: `chatcmpl-…` or `cmpl-…`. */
  readonly id: string;
  /** When the request was taken. */
  readonly createdUnixSeconds: number;
  /** The name that the request gave, an alias or an adapter as well. */
  readonly model: string;
  /** In order of their index. */
  readonly choices: readonly FinishedChoice[];
  /** JSON. */
  readonly usage: string;
  /** The object `stator` as JSON. */
  readonly explain: string | undefined;
}

function printAnswer(object: string, answer: AnswerBody, printChoice: (choice: FinishedChoice) => string): string {
  let choices = "";
  for (const [index, choice] of answer.choices.entries()) {
    choices += `${index > 0 ? "," : ""}{"index":${index},${printChoice(choice)},"logprobs":${choice.logprobs ?? "null"},"finish_reason":"${choice.finish}"}`;
  }
  return (
    `{"id":${JSON.stringify(answer.id)},"object":"${object}","created":${answer.createdUnixSeconds},` +
    `"model":${JSON.stringify(answer.model)},"choices":[${choices}],"usage":${answer.usage}` +
    `${answer.explain ? `,"stator":${answer.explain}` : ""}}`
  );
}

/** The body of POST /v1/chat/completions without stream. */
export function printChatBody(answer: AnswerBody): string {
  return printAnswer(
    "chat.completion",
    answer,
    ({ text }) => `"message":{"role":"assistant","content":${JSON.stringify(text)},"refusal":null}`,
  );
}

/** The body of POST /v1/completions without stream. */
export function printCompletionBody(answer: AnswerBody): string {
  return printAnswer("text_completion", answer, ({ text }) => `"text":${JSON.stringify(text)}`);
}

/** A model as GET /v1/models shows it. */
export interface ListedModel {
  /** The name that requests give. */
  readonly id: string;
  /** When the engine of its longest servable worker was opened. */
  readonly createdUnixSeconds: number;
  /** Whom its card names, `stator` when it names nobody. */
  readonly ownedBy: string;
  /** Prompt and answer together: the least of its workers; undefined when nobody knows. */
  readonly contextTokens: number | undefined;
  /** What counts for requests that name no value. */
  readonly defaultSampling: DefaultSampling;
  /** The weakest promise of its workers. */
  readonly deterministic: Determinism;
  /** The base model of an adapter; undefined for a model. */
  readonly parent: string | undefined;
  /** It takes tensors, which OpenAI's API has no way to ask for: its routes do not show it. Absent for others. */
  readonly tensors?: true;
}

/** How far a name is whose requests would not be answered now. */
export const AWAY_STATES = ["loading", "connecting", "draining", "asleep", "failed"] as const;

/** A name that is known here and that no request would be answered for now. */
export interface AwayModel {
  /** The name that requests give. */
  readonly id: string;
  /** How far it is. */
  readonly state: (typeof AWAY_STATES)[number];
  /** One sentence. */
  readonly reason: string;
  /** As of a listed one, where that is known. */
  readonly tensors?: true;
}

/** The names that a server knows. */
export interface ModelList {
  /** Those that a request would be answered for now, in order of id; adapters after all models. */
  readonly listed: readonly ListedModel[];
  /** The others, in order of id. */
  readonly away: readonly AwayModel[];
}

function modelObject(model: ListedModel) {
  return {
    id: model.id,
    object: "model",
    created: model.createdUnixSeconds,
    owned_by: model.ownedBy,
    max_model_len: model.contextTokens,
    default_sampling: { temperature: 1, ...model.defaultSampling },
    deterministic: model.deterministic,
    ...(model.parent === undefined ? {} : { parent: model.parent }),
  };
}

/** The body of GET /v1/models/{id}. */
export function printModel(model: ListedModel): string {
  return JSON.stringify(modelObject(model));
}

/**
 * The body of GET /v1/models. Clients take any name of `data` for one that answers text: models of tensors are left out, and
 * those that do not answer now stand in `stator`.
 */
export function printModels({ listed, away }: ModelList): string {
  const notReady = away.filter(({ tensors }) => !tensors);
  return JSON.stringify({
    object: "list",
    data: listed.filter(({ tensors }) => !tensors).map(modelObject),
    ...(notReady.length > 0 && { stator: { not_ready: notReady } }),
  });
}

/** The body of POST /v1/embeddings; each embedding is JSON already: a list of numbers, or base64 text in quotes. */
export function printEmbeddings(model: string, embeddings: readonly string[], promptTokens: number): string {
  const data = embeddings
    .map((embedding, index) => `{"object":"embedding","index":${index},"embedding":${embedding}}`)
    .join(",");
  const usage = `{"prompt_tokens":${promptTokens},"total_tokens":${promptTokens}}`;
  return `{"object":"list","data":[${data}],"model":${JSON.stringify(model)},"usage":${usage}}`;
}

/** An embedding as JSON numbers, nine significant digits each: enough to give back the same f32. */
export function printFloats(values: Float32Array): string {
  let out = "[";
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    out += `${at > 0 ? "," : ""}${Number.isFinite(value) ? Number(value.toPrecision(9)) : 0}`;
  }
  return `${out}]`;
}
