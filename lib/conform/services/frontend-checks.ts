import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Check, Found } from "../check.ts";
import { expect, Failure } from "../failure.ts";
import { type RunBounds, runChecks } from "../run-checks.ts";

const OF = "docs/conformance.md";
const ERRORS = "An error is a status of 400 or more and an object error with message, type and code.";
const STREAMS = "A stream is server-sent events: objects of data, one for each part, and [DONE] last.";
const NOBODY = "conform-no-such-model";
const LIMIT_MS = 20_000;
const TOUCH_MS = 5_000;
const SIDE_BY_SIDE = 8;
const LONG = 2_000;
/** A frontend that says more in one answer floods. */
const MOST_BYTES = 16 * 1024 * 1024;

/** What a check of a frontend works with. */
export interface FrontendBench {
  /** http://HOST:PORT, without a slash behind it. */
  readonly origin: string;
  /** Model that is asked; the first of the list where it is undefined. */
  readonly model: string | undefined;
  /** Borrowed; limits of time go by it. */
  readonly clock: Clock;
  /** Aborts when the check is over. */
  readonly signal: AbortSignal;
}

/** Aborts after so long. */
function limitOf(clock: Clock, ms: number): { readonly signal: AbortSignal; readonly timer: Timer } {
  const abort = new AbortController();
  const timer = clock.after(ms, () => abort.abort(new Failure(`no whole answer came in ${ms} ms`)));
  return { signal: abort.signal, timer };
}

/** What the checks use of the frontend under test. */
export interface ConformFrontendOptions extends Pick<FrontendBench, "origin" | "model" | "clock"> {
  /** Of one check and of all; RUN_BOUNDS where they are not given. */
  readonly bounds?: Partial<RunBounds>;
  /** Which checks to run, by name; all unless given. */
  readonly only?: (name: string) => boolean;
  /** Called as each check ends. */
  readonly onFound?: (found: Found) => void;
}

/** Runs the checks of OpenAI's API against a frontend. Throws UNAVAILABLE when it cannot be reached at all. */
export async function conformFrontend(options: ConformFrontendOptions): Promise<Found[]> {
  const { origin, model, clock, bounds, only, onFound } = options;
  const missing = async () => {
    const limit = limitOf(clock, TOUCH_MS);
    try {
      await (await fetch(`${origin}/v1/models`, { signal: limit.signal })).text();
      return undefined;
    } catch (error) {
      const detail = error instanceof Error ? String(error.cause ?? error) : "no answer";
      return new StatorError("UNAVAILABLE", { what: origin, detail }, { cause: error });
    } finally {
      limit.timer.cancel();
    }
  };
  const unreachable = await missing();
  if (unreachable) throw unreachable;
  return runChecks({
    checks: FRONTEND_CHECKS,
    open() {
      const abort = new AbortController();
      return { bench: { origin, model, clock, signal: abort.signal }, close: () => abort.abort() };
    },
    gone: async () => (await missing())?.message,
    ...{ clock, bounds, only, onFound },
  });
}

/** What a frontend with OpenAI's API promises. */
export const FRONTEND_CHECKS: readonly Check<FrontendBench>[] = [
  {
    name: "lists its models",
    sentence: "GET /v1/models is a list of objects model, each with its id.",
    of: OF,
    async run(bench) {
      const { body } = await call(bench, "/v1/models");
      expect(body.object === "list" && Array.isArray(body.data), "the body is no list");
      for (const { id, object } of body.data as Json[])
        expect(id && object === "model", `one is ${id ?? "without an id"}`);
    },
  },
  {
    name: "answers a completion",
    sentence:
      "POST /v1/completions and POST /v1/chat/completions answer with choices, each with its index and why it ended, and with usage.",
    of: OF,
    async run(bench) {
      const { body } = await complete(bench, { max_tokens: 4 });
      const [choice] = body.choices as Json[];
      expect(typeof choice?.text === "string" && choice.index === 0, "choice 0 has no text");
      expect(["stop", "length"].includes(String(choice.finish_reason)), `finish_reason is ${choice.finish_reason}`);
      checkUsage(body.usage as Json);
    },
  },
  {
    name: "answers a chat",
    sentence:
      "POST /v1/completions and POST /v1/chat/completions answer with choices, each with its index and why it ended, and with usage.",
    of: OF,
    async run(bench) {
      const { body } = await chat(bench, { max_tokens: 4 });
      const [choice] = body.choices as Json[];
      const message = choice?.message as Json | undefined;
      expect(message?.role === "assistant", `the role is ${message?.role}`);
      expect(["stop", "length"].includes(String(choice?.finish_reason)), `finish_reason is ${choice?.finish_reason}`);
      checkUsage(body.usage as Json);
    },
  },
  {
    name: "streams a chat in parts, and ends it",
    sentence: STREAMS,
    of: OF,
    async run(bench) {
      const { events, text } = await streamed(bench, { max_tokens: 8 });
      expect(events.at(-1) === "[DONE]", `the last event is ${events.at(-1)}`);
      const parts = events.slice(0, -1).map((event) => JSON.parse(event) as Json);
      const ends = parts.flatMap(({ choices }) => (choices as Json[]).flatMap((each) => each.finish_reason ?? []));
      expect(ends.length === 1, `${ends.length} parts have a finish_reason`);
      expect(
        parts.every(({ object }) => object === "chat.completion.chunk"),
        "a part is no chat.completion.chunk",
      );
      const whole = await chat(bench, { max_tokens: 8 });
      const message = (whole.body.choices as Json[])[0]?.message as Json;
      expect(text === message.content, `the parts say "${text}" and the whole "${message.content}"`);
    },
  },
  {
    name: "tells usage at the end of a stream when it is asked to",
    sentence: "With stream_options.include_usage the last part before [DONE] has usage and no choices.",
    of: OF,
    async run(bench) {
      const { events } = await streamed(bench, { max_tokens: 4, stream_options: { include_usage: true } });
      const last = JSON.parse(events.at(-2) ?? "{}") as Json;
      checkUsage(last.usage as Json);
      expect((last.choices as Json[]).length === 0, "the part with usage has choices");
    },
  },
  {
    name: "gives no more tokens than were asked for",
    sentence: "An answer has at most max_tokens tokens; one that was cut there ended by length.",
    of: OF,
    async run(bench) {
      const { body } = await complete(bench, { max_tokens: 3, ignore_eos: undefined });
      const { completion_tokens: tokens } = body.usage as Json;
      expect(Number(tokens) <= 3, `${tokens} tokens came, 3 were asked for`);
      const end = (body.choices as Json[])[0]?.finish_reason;
      expect(end === "length" || Number(tokens) < 3, `finish_reason is ${end}`);
    },
  },
  {
    name: "gives several choices, each with its index",
    sentence:
      "POST /v1/completions and POST /v1/chat/completions answer with choices, each with its index and why it ended, and with usage.",
    of: OF,
    async run(bench) {
      const { body } = await complete(bench, { max_tokens: 4, n: 2, temperature: 1 });
      const indices = (body.choices as Json[]).map(({ index }) => index);
      expect(indices.toSorted().join() === "0,1", `the indices are ${indices.join()}`);
    },
  },
  {
    name: "ends before a stop text",
    sentence: "A text of stop ends the answer and is no part of it.",
    of: OF,
    async run(bench) {
      const text = String(((await complete(bench, { max_tokens: 16 })).body.choices as Json[])[0]?.text);
      const stop = text.slice(text.length >> 1, (text.length >> 1) + 3);
      if (stop.trim() === "" || !stop.isWellFormed()) return;
      const { body } = await complete(bench, { max_tokens: 16, stop: [stop] });
      const [choice] = body.choices as Json[];
      expect(choice?.text === text.slice(0, text.indexOf(stop)), `the text is "${choice?.text}"`);
      expect(choice?.finish_reason === "stop", `finish_reason is ${choice?.finish_reason}`);
    },
  },
  {
    name: "refuses a model that it does not have, with 404 and a detail",
    sentence: ERRORS,
    of: OF,
    async run(bench) {
      const { status, body } = await post(bench, "/v1/chat/completions", { model: NOBODY, messages: MESSAGES });
      expectError({ status, body }, [404]);
    },
  },
  {
    name: "refuses a body that is no JSON, with 400 and a detail",
    sentence: ERRORS,
    of: OF,
    async run(bench) {
      expectError(await call(bench, "/v1/chat/completions", "{"), [400]);
    },
  },
  {
    name: "refuses a chat without messages, with a detail",
    sentence: ERRORS,
    of: OF,
    async run(bench) {
      expectError(await post(bench, "/v1/chat/completions", { model: await modelOf(bench) }), [400, 422]);
    },
  },
  {
    name: "refuses a value outside of its range, with a detail",
    sentence: ERRORS,
    of: OF,
    async run(bench) {
      const asked = { model: await modelOf(bench), messages: MESSAGES, temperature: -1 };
      expectError(await post(bench, "/v1/chat/completions", asked), [400, 422]);
    },
  },
  {
    name: "answers others while callers go away",
    sentence: "A caller that goes away ends nobody else's answer.",
    of: OF,
    async run(bench) {
      const innocent = streamed(bench, { max_tokens: 64 });
      for (let at = 0; at < SIDE_BY_SIDE; at++) {
        const leave = new AbortController();
        const asked = { ...(await chatOf(bench)), stream: true, max_tokens: LONG };
        const response = await send(bench, "/v1/chat/completions", JSON.stringify(asked), leave.signal);
        await response.body?.getReader().read();
        leave.abort();
      }
      expect((await innocent).events.at(-1) === "[DONE]", "an answer beside them was cut off");
    },
  },
  {
    name: "answers many at once, each as if it were alone",
    sentence: "A caller that goes away ends nobody else's answer.",
    of: OF,
    async run(bench) {
      const alone = (await streamed(bench, { max_tokens: 8 })).text;
      const asked = Array.from({ length: SIDE_BY_SIDE }, () => streamed(bench, { max_tokens: 8 }));
      for (const { text } of await Promise.all(asked))
        expect(text === alone, `one says "${text}", alone it is "${alone}"`);
    },
  },
];

type Json = Readonly<Record<string, unknown>>;

const MESSAGES = [{ role: "user", content: "What is a fox?" }];

/** Bounded in time and length, and ended with the check. */
async function send(
  { origin, signal, clock }: FrontendBench,
  path: string,
  body: string | undefined,
  leave?: AbortSignal,
): Promise<Response> {
  const signals = [signal, limitOf(clock, LIMIT_MS).signal, ...(leave ? [leave] : [])];
  const headers = { "content-type": "application/json" };
  return fetch(`${origin}${path}`, {
    signal: AbortSignal.any(signals),
    ...(body !== undefined && { method: "POST", headers, body }),
  });
}

async function read(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    expect(bytes <= MOST_BYTES, `it floods: an answer is longer than ${MOST_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

async function call(bench: FrontendBench, path: string, body?: string): Promise<{ status: number; body: Json }> {
  const response = await send(bench, path, body);
  const text = await read(response);
  try {
    return { status: response.status, body: JSON.parse(text) as Json };
  } catch {
    expect(false, `${path} answers ${response.status} with no JSON: ${text.slice(0, 80)}`);
  }
}

function post(bench: FrontendBench, path: string, body: Json) {
  return call(bench, path, JSON.stringify(body));
}

async function modelOf(bench: FrontendBench): Promise<string> {
  if (bench.model !== undefined) return bench.model;
  const { body } = await call(bench, "/v1/models");
  const [first] = (body.data ?? []) as Json[];
  expect(first, "it lists no models");
  return String(first.id);
}

async function chatOf(bench: FrontendBench): Promise<Json> {
  return { model: await modelOf(bench), messages: MESSAGES, temperature: 0, seed: 1 };
}

async function whole(answer: Promise<{ status: number; body: Json }>) {
  const { status, body } = await answer;
  expect(status === 200, `the status is ${status}: ${JSON.stringify(body).slice(0, 200)}`);
  expect(Array.isArray(body.choices) && body.choices.length > 0, "the body has no choices");
  return { status, body };
}

async function complete(bench: FrontendBench, more: Json) {
  const asked = { model: await modelOf(bench), prompt: "What is a fox?", temperature: 0, seed: 1, ...more };
  return whole(post(bench, "/v1/completions", asked));
}

async function chat(bench: FrontendBench, more: Json) {
  return whole(post(bench, "/v1/chat/completions", { ...(await chatOf(bench)), ...more }));
}

/** Data of each event of a streamed chat, and the text of all parts. */
async function streamed(bench: FrontendBench, more: Json): Promise<{ events: string[]; text: string }> {
  const asked = { ...(await chatOf(bench)), stream: true, ...more };
  const response = await send(bench, "/v1/chat/completions", JSON.stringify(asked));
  expect(response.status === 200, `the status is ${response.status}`);
  const type = response.headers.get("content-type") ?? "";
  expect(type.startsWith("text/event-stream"), `the type is ${type}`);
  const lines = (await read(response)).split(/\r?\n/);
  const events = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
  const text = events
    .filter((event) => event !== "[DONE]")
    .flatMap((event) => (JSON.parse(event) as { choices: { delta: { content?: string } }[] }).choices)
    .map(({ delta }) => delta.content ?? "")
    .join("");
  return { events, text };
}

function checkUsage(usage: Json | undefined): void {
  expect(usage, "there is no usage");
  const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = usage;
  expect(Number(prompt) > 0, `prompt_tokens is ${prompt}`);
  expect(
    Number(total) === Number(prompt) + Number(completion),
    `total_tokens is ${total}, not ${prompt} + ${completion}`,
  );
}

function expectError({ status, body }: { status: number; body: Json }, statuses: readonly number[]): void {
  expect(statuses.includes(status), `the status is ${status}, not ${statuses.join(" or ")}`);
  const error = body.error as Json | undefined;
  expect(error && typeof error.message === "string" && error.message !== "", "the body has no error.message");
  expect(typeof error.type === "string" && "code" in error, "the error has no type or no code");
}
