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
  const model = values["model-name"] ?? (await firstModel(base));
  if (positional.length > 0) {
    await answer(base, model, [{ role: "user", content: positional.join(" ") }]);
    return 0;
  }
  print(`Talking to ${model} at ${base}. An empty line ends, /new forgets.`);
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  context.scope.defer("lines", () => lines.close());
  const end = (): void => lines.close();
  context.stopped.then(end, end);
  let messages: Message[] = [];
  lines.prompt();
  for await (const line of lines) {
    const content = line.trim();
    if (content === "") break;
    if (content === "/new") messages = [];
    else {
      messages.push({ role: "user", content });
      messages.push({ role: "assistant", content: await answer(base, model, messages) });
    }
    lines.prompt();
  }
  return 0;
}

async function ask(url: string, body?: unknown): Promise<Response> {
  let response: Response;
  try {
    const headers = { "content-type": "application/json" };
    response = await fetch(url, body === undefined ? {} : { method: "POST", headers, body: JSON.stringify(body) });
  } catch (error) {
    const detail = "start a frontend with `npm start`, or name another with --http-host and --http-port";
    throw new StatorError("UNAVAILABLE", { what: new URL(url).origin, detail }, { cause: error });
  }
  if (response.ok) return response;
  const said = (await response.json().catch(() => undefined)) as { error?: { message?: string } } | undefined;
  throw new StatorError("UNAVAILABLE", { what: url, detail: said?.error?.message ?? `it answered ${response.status}` });
}

async function firstModel(base: string): Promise<string> {
  const { data } = (await (await ask(`${base}/v1/models`)).json()) as { data: { id: string }[] };
  const [first] = data;
  if (!first) throw new StatorError("UNAVAILABLE", { what: "A model", detail: "none is ready yet" });
  return first.id;
}

/** Prints an answer while it arrives and returns it. */
async function answer(base: string, model: string, messages: readonly Message[]): Promise<string> {
  const response = await ask(`${base}/v1/chat/completions`, { model, messages, stream: true });
  let whole = "";
  for await (const data of serverSentData(response)) {
    const chunk = JSON.parse(data) as { error?: { message: string }; choices?: { delta?: { content?: string } }[] };
    if (chunk.error) throw new StatorError("UNAVAILABLE", { what: model, detail: chunk.error.message });
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
