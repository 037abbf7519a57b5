import { OpenAI } from "openai";

/** What came of a load so far. */
export interface LoadReport {
  /** Answers that were complete and equal to the undisturbed one. */
  readonly answered: number;
  /** Everything else, in words. */
  readonly failures: readonly string[];
  /** Requests that were asked to come again, by the reason that they were given; the client did, by itself. */
  readonly refusals: ReadonlyMap<string, number>;
  /** Instance ids of the workers that answered, as the response headers name them. */
  readonly workers: ReadonlySet<string>;
}

/** What is asked. */
export interface LoadOptions {
  readonly streams: number;
  /** Of each answer; 40 unless given. */
  readonly maxTokens?: number;
  /** Lets no answer end by itself and compares every token's log-probability too: for engines that are exact. */
  readonly toTheBit?: boolean;
}

/** Streams chats side by side until it is stopped, and compares each answer with the undisturbed one. */
export class Load implements LoadReport {
  answered = 0;
  readonly failures: string[] = [];
  readonly refusals = new Map<string, number>();
  readonly workers = new Set<string>();
  readonly #client: OpenAI;
  readonly #options: LoadOptions;
  #model = "";
  readonly #expected = new Map<string, string>();
  readonly #runners: Promise<void>[] = [];
  #stopped = false;

  private constructor(address: string, options: LoadOptions) {
    this.#options = options;
    const baseURL = `http://${address}/v1`;
    this.#client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 4, fetch: (...call) => this.#fetch(...call) });
  }

  /** Asks every prompt once for the undisturbed answers, then starts `streams` of them side by side. */
  static async start(address: string, options: LoadOptions): Promise<Load> {
    await routable(address);
    const load = new Load(address, options);
    load.#model = (await load.#client.models.list()).data[0]!.id;
    const prompts = Array.from({ length: options.streams }, (_, at) => `Tell me story number ${at} about a duck.`);
    const answers = await Promise.all(prompts.map((prompt) => load.#ask(prompt)));
    for (const [at, prompt] of prompts.entries()) load.#expected.set(prompt, answers[at]!);
    for (const prompt of load.#expected.keys()) load.#runners.push(load.#run(prompt));
    return load;
  }

  /** Resolves when so many more answers have come, or as many failures. */
  async more(count: number): Promise<void> {
    const until = this.answered + this.failures.length + count;
    while (this.answered + this.failures.length < until) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Forgets who answered until now. */
  forgetWorkers(): void {
    this.workers.clear();
  }

  /** Lets what runs come to its end. */
  async stop(): Promise<LoadReport> {
    this.#stopped = true;
    await Promise.all(this.#runners);
    return this;
  }

  async #run(prompt: string): Promise<void> {
    while (!this.#stopped) {
      try {
        const text = await this.#ask(prompt);
        if (text === this.#expected.get(prompt)) this.answered++;
        else this.failures.push(`another answer: ${text}`);
      } catch (error) {
        this.failures.push(String(error));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** Notes who was asked to come again: that needs a reason and a time. */
  async #fetch(...call: Parameters<typeof fetch>): Promise<Response> {
    const response = await fetch(...call);
    if (response.ok) return response;
    const { error } = (await response.clone().json()) as { error: { code: string } };
    if (response.headers.get("retry-after") === null) this.failures.push(`${response.status} ${error.code}`);
    else this.refusals.set(error.code, (this.refusals.get(error.code) ?? 0) + 1);
    return response;
  }

  async #ask(content: string): Promise<string> {
    const { maxTokens = 40, toTheBit = false } = this.#options;
    const { data, response } = await this.#client.chat.completions
      .create({
        model: this.#model,
        messages: [{ role: "user", content }],
        stream: true,
        max_tokens: maxTokens,
        temperature: 0,
        logprobs: toTheBit,
        // A field of ours.
        ...{ ignore_eos: toTheBit },
      })
      .withResponse();
    let text = "";
    const logprobs: number[] = [];
    let finish: string | null | undefined;
    for await (const chunk of data) {
      text += chunk.choices[0]?.delta.content ?? "";
      for (const { logprob } of chunk.choices[0]?.logprobs?.content ?? []) logprobs.push(logprob);
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    if (finish === null || finish === undefined) throw new Error("the stream ended without a reason");
    this.workers.add(response.headers.get("x-stator-worker") ?? "");
    return [text, ...logprobs].join(" ");
  }
}

/** Waits until a frontend has a model and a worker for it. */
async function routable(address: string): Promise<void> {
  for (;;) {
    const { ok } = await fetch(`http://${address}/health`);
    if (ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
