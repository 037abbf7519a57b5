import { eventsOf, post, type SameAnswer, type SameAsk, type ServedModel } from "./served.ts";

/** What a body of OpenAI's answers, or an event of them, may say. */
interface Said {
  readonly choices: readonly {
    readonly message?: { readonly content: string };
    readonly delta?: { readonly content?: string };
    readonly text?: string;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens: number; readonly completion_tokens: number } | null;
}

/** How OpenAI's doors are asked: by messages, or by text. */
export function askOpenai(path: string, { stream }: { readonly stream: boolean }) {
  return async (served: ServedModel, ask: SameAsk): Promise<SameAnswer> => {
    const response = await post(served, path, {
      model: served.name,
      ...(path.endsWith("/chat/completions") ? { messages: ask.messages } : { prompt: ask.text }),
      ...{ max_tokens: ask.maxTokens, stop: ask.stop, temperature: 0 },
      ...(stream && { stream, stream_options: { include_usage: true } }),
    });
    const said = stream ? ((await eventsOf(response)) as Said[]) : [(await response.json()) as Said];
    const choices = said.flatMap((one) => one.choices);
    const usage = said.at(-1)?.usage;
    return {
      text: choices.map(({ message, delta, text }) => message?.content ?? delta?.content ?? text ?? "").join(""),
      finish: choices.at(-1)?.finish_reason ?? "",
      usage: [usage?.prompt_tokens ?? -1, usage?.completion_tokens ?? -1],
    };
  };
}
