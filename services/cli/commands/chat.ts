import { createInterface } from "node:readline/promises";
import { StatorError } from "#lib/base/errors";
import type { Command, CommandContext } from "../command.ts";

interface Message {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** `stator chat`: a conversation in the terminal, or one answer for a question on the command line. */
export const chat: Command = {
  name: "chat",
  arguments: "[QUESTION]",
  summary: "talk to the model; with a question, answer it and end",
  help: "Streams answers from a running frontend (http.host and http.port). An empty line or Ctrl-D ends; /new forgets\nthe conversation.",
  options: ["http.host", "http.port", "model-name"],
  run: runChat,
};

async function runChat(context: CommandContext): Promise<number> {
  const { values, positional, print } = context;
  const base = `http://${values["http.host"]}:${values["http.port"]}`;
  const cut = new AbortController();
  const end = (): void => cut.abort();
  context.stopped.then(end, end);
  const model = values["model-name"] ?? (await firstModel(base));
  const frontend = { base, model, signal: cut.signal };
  try {
    if (positional.length > 0) await answer(frontend, [{ role: "user", content: positional.join(" ") }]);
    else {
      print(`Talking to ${model} at ${base}. An empty line ends, /new forgets.`);
      await converse(frontend, cut);
    }
  } catch (error) {
    if (!cut.signal.aborted) throw error;
    print("");
  }
  return 0;
}

/** What is talked to, and what cuts an answer. */
interface Frontend {
  readonly base: string;
  readonly model: string;
  readonly signal: AbortSignal;
}

/** Question and answer until an empty line, the end of the input or Ctrl-C, which cuts the answer that is running. */
async function converse(frontend: Frontend, cut: AbortController): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  // A pipe ends before its last question is answered, and a closed interface takes no prompt.
  let isOpen = true;
  lines.once("close", () => {
    isOpen = false;
  });
  lines.once("SIGINT", () => cut.abort());
  frontend.signal.addEventListener("abort", () => lines.close(), { once: true });
  const messages: Message[] = [];
  lines.prompt();
  try {
    for await (const line of lines) {
      const content = line.trim();
      if (content === "") break;
      if (content === "/new") messages.length = 0;
      else {
        messages.push({ role: "user", content });
        messages.push({ role: "assistant", content: await answer(frontend, messages) });
      }
      if (isOpen) lines.prompt();
    }
  } finally {
    lines.close();
  }
}

async function ask(url: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    const headers = { "content-type": "application/json" };
    const post = { method: "POST", headers, body: JSON.stringify(body), signal: signal ?? null };
    response = await fetch(url, body === undefined ? {} : post);
  } catch (error) {
    const detail = "start a frontend with `npm start`, or name another with --http-host and --http-port";
    throw new StatorError("UNAVAILABLE", { what: new URL(url).origin, detail }, { cause: error });
  }
  if (response.ok) return response;
  const said = (await response.json().catch(() => undefined)) as { error?: { message?: string } } | undefined;
  throw new StatorError("INVALID_ARGUMENT", {
    detail: withoutStop(said?.error?.message) ?? `${url} answered ${response.status}`,
  });
}

/** A sentence without its full stop, which the table of errors sets itself. */
function withoutStop(text: string | undefined): string | undefined {
  return text?.replace(/\.$/, "");
}

async function firstModel(base: string): Promise<string> {
  const { data } = (await (await ask(`${base}/v1/models`)).json()) as { data: { id: string }[] };
  const [first] = data;
  if (!first) throw new StatorError("UNAVAILABLE", { what: "A model", detail: "none is ready yet" });
  return first.id;
}

/** Prints an answer while it arrives and returns it. */
async function answer({ base, model, signal }: Frontend, messages: readonly Message[]): Promise<string> {
  const response = await ask(`${base}/v1/chat/completions`, { model, messages, stream: true }, signal);
  let whole = "";
  for await (const data of serverSentData(response)) {
    const chunk = JSON.parse(data) as { error?: { message: string }; choices?: { delta?: { content?: string } }[] };
    if (chunk.error) throw new StatorError("INVALID_ARGUMENT", { detail: withoutStop(chunk.error.message) });
    const text = chunk.choices?.[0]?.delta?.content ?? "";
    whole += text;
    process.stdout.write(text);
  }
  process.stdout.write("\n");
  return whole;
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
