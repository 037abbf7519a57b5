import { createInterface } from "node:readline/promises";
import { StatorError } from "#lib/base/errors";
import { type ChatAnswer, ChatClient, type ChatMessage, readJson } from "../chat-client.ts";
import type { Command, CommandContext } from "../command.ts";

const WORDS = [
  ["/system TEXT", "tells the model how to answer; without TEXT, nothing any more"],
  ["/new", "forgets the conversation"],
  ["/help", "shows this"],
  ["/bye", "ends, as Ctrl-D does"],
] as const;

/** `stator chat`: a conversation in the terminal, or one answer for a question on the command line. */
export const chat: Command = {
  arguments: "[QUESTION]",
  help:
    "Streams answers from a running frontend (http.host and http.port). /bye or Ctrl-D ends, /help tells what else there\n" +
    "is. A model without a chat template continues what you write.",
  says: {
    "http.host": "Where the frontend is.",
    "http.port": "Port of the frontend.",
    "model-name": "Model to talk to; the first that is served when absent.",
    system: "What the model is told before the conversation.",
    temperature: "How freely it chooses: 0 takes the most likely; the model's own when absent.",
    "max-tokens": "Longest answer; what the context has room for when absent.",
  },
  options: ["http.host", "http.port", "model-name", "system", "temperature", "max-tokens"],
  run: runChat,
};

async function runChat(context: CommandContext): Promise<number> {
  const { values, positional, print } = context;
  const base = `http://${values["http.host"]}:${values["http.port"]}`;
  const cut = new AbortController();
  const end = (): void => cut.abort();
  context.stopped.then(end, end);
  const model = values["model-name"] ?? (await firstModel(base));
  const { temperature, "max-tokens": maxTokens } = values;
  const client = new ChatClient({ base, model, temperature, maxTokens, signal: cut.signal });
  const talk = new Conversation(client, context);
  try {
    if (positional.length > 0) await talk.ask(positional.join(" "));
    else {
      print(`Talking to ${model} at ${base}.\n/help tells what there is, /bye ends.`);
      await converse(talk, cut);
    }
  } catch (error) {
    if (!cut.signal.aborted) throw error;
    print("");
  }
  return 0;
}

/** Question and answer until /bye, the end of the input or Ctrl-C, which cuts the answer that is running. */
async function converse(talk: Conversation, cut: AbortController): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  // A pipe ends before its last question is answered, and a closed interface takes no prompt.
  let isOpen = true;
  lines.once("close", () => {
    isOpen = false;
  });
  lines.once("SIGINT", () => cut.abort());
  cut.signal.addEventListener("abort", () => lines.close(), { once: true });
  lines.prompt();
  try {
    for await (const line of lines) {
      if ((await talk.take(line.trim())) === "over") break;
      if (isOpen) lines.prompt();
    }
  } finally {
    lines.close();
  }
}

/** What was said so far. */
class Conversation {
  readonly #client: ChatClient;
  readonly #context: CommandContext;
  readonly #messages: ChatMessage[] = [];
  #system: string | undefined;

  constructor(client: ChatClient, context: CommandContext) {
    this.#client = client;
    this.#context = context;
    this.#system = context.values.system;
  }

  /** Takes a line that was typed: a word of ours, or a question. */
  async take(line: string): Promise<"over" | undefined> {
    const { print } = this.#context;
    const [, word, text = ""] = /^(\/\w*) *(.*)$/s.exec(line) ?? [];
    if (word === "/bye") return "over";
    if (word === "/help") print(WORDS.map(([name, about]) => `  ${name.padEnd(14)}${about}`).join("\n"));
    else if (word === "/new") this.#messages.length = 0;
    else if (word === "/system") this.#system = text || undefined;
    else if (word !== undefined) print(`There is no ${word}. /help tells what there is.`);
    else if (line !== "") await this.#askOn(line);
    return undefined;
  }

  /** Prints the answer while it comes; on a terminal also how long it took. */
  async ask(content: string): Promise<void> {
    const { print, screen } = this.#context;
    const system: ChatMessage[] = this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
    const messages: ChatMessage[] = [...system, ...this.#messages, { role: "user", content }];
    const continued = this.#client.continues;
    const answer = await this.#client.answer(messages, (text) => void process.stdout.write(text));
    this.#messages.push({ role: "user", content }, { role: "assistant", content: answer.text });
    print("");
    if (!screen.isTerminal) return;
    print(screen.paint.dim(printSpeed(answer)));
    if (this.#client.continues && !continued) {
      print(screen.paint.dim("The model has no chat template: it continues what you write."));
    }
  }

  /** People go on after a question that was refused; whoever sends a pipe hears of it. */
  async #askOn(content: string): Promise<void> {
    try {
      await this.ask(content);
    } catch (error) {
      const isRefusal = error instanceof StatorError && error.reason === "INVALID_ARGUMENT";
      if (!isRefusal || !process.stdin.isTTY) throw error;
      this.#context.print(this.#context.screen.paint.red(error.message));
    }
  }
}

/** Such as `48 tokens, 31.4 tokens/s, the first after 0.21 s`. */
function printSpeed({ tokens, firstMs, restMs }: ChatAnswer): string {
  const rate = tokens > 1 && restMs > 0 ? `, ${(((tokens - 1) * 1000) / restMs).toFixed(1)} tokens/s` : "";
  return `${tokens} tokens${rate}, the first after ${(firstMs / 1000).toFixed(2)} s`;
}

async function firstModel(base: string): Promise<string> {
  const { data } = await readJson<{ data: { id: string }[] }>(`${base}/v1/models`);
  const [first] = data;
  if (!first) throw new StatorError("UNAVAILABLE", { what: "A model", detail: "none is ready yet" });
  return first.id;
}
