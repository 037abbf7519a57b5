import { asStatorError, type StatorError } from "#lib/base/errors";
import { type ServingLogprobs, sumUsage, type Usage } from "#lib/serving/answer";
import { type Ask, type ReadyAsk, readyAsk } from "#lib/serving/ask";
import type { ChoiceEnd, Dispatcher, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";

/** What a rehearsed worker says to one choice. */
export interface Reply {
  readonly tokens: Uint32Array;
  readonly reason?: ChoiceEnd["reason"];
  readonly stopToken?: number;
  /** Fails the request in place of ending the choice. */
  readonly error?: StatorError;
}

/** How a rehearsed worker behaves. */
export interface RehearsalOptions {
  readonly reply: (request: ReadyAsk, choice: number) => Reply;
  readonly embedding?: (tokens: Uint32Array) => Float32Array;
  /** What it compiles forms with. */
  readonly compile?: (guidance: Guidance) => string | Promise<string>;
  /** Throws to refuse a request at the door. */
  readonly admit?: (request: ReadyAsk) => void;
  readonly tokensPerStep?: number;
  /** Steps run by themselves in the next turns of the event loop; otherwise only `step` moves. */
  readonly running?: boolean;
}

interface OpenChoice {
  readonly index: number;
  readonly reply: Reply;
  told: number;
  /** Tokens that are the answer, once whoever asked has enough. */
  counted: number | undefined;
  over: boolean;
}

interface OpenRequest {
  readonly request: ReadyAsk;
  readonly sink: ServingSink;
  readonly choices: readonly OpenChoice[];
}

const WORKER = 0x5f3an;

/** A dispatcher without workers: it answers what a test says, a step at a time. */
export class RehearsalDispatcher implements Dispatcher {
  readonly requests: ReadyAsk[] = [];
  cancelled = 0;
  readonly #options: RehearsalOptions;
  readonly #open = new Set<OpenRequest>();
  /** Whose form is being compiled. */
  readonly #held = new Set<OpenRequest>();
  #stepping = false;

  constructor(options: RehearsalOptions) {
    this.#options = options;
  }

  /** Requests that are not over. */
  get open(): number {
    return this.#open.size;
  }

  start(ask: Ask<unknown>, sink: ServingSink): ServingHandle {
    const request = readyAsk(ask);
    this.#options.admit?.(request);
    this.requests.push(request);
    if (this.requests.length > 1000) this.requests.shift();
    const count = request.input.prompts.length * request.choicesPerPrompt;
    const choices = Array.from({ length: count }, (_, index) => ({
      index,
      reply: request.kind === "embed" ? { tokens: new Uint32Array(0) } : this.#options.reply(request, index),
      told: 0,
      counted: undefined,
      over: false,
    }));
    const open: OpenRequest = { request, sink, choices };
    const { guidance } = request;
    this.#open.add(open);
    if (guidance) {
      this.#hold(open, guidance).then(
        () => this.#open.has(open) && this.#begin(open),
        (error: unknown) => this.#open.delete(open) && sink.onError(asStatorError(error)),
      );
    } else this.#begin(open);
    return {
      cancel: () => {
        if (this.#open.delete(open)) this.cancelled++;
      },
      get usage() {
        return usageOf(open);
      },
      finishChoice: (index, tokens) => {
        const choice = open.choices[index]!;
        choice.counted = tokens;
        this.#end(open, choice, "cancelled");
      },
    };
  }

  /** As a worker does that compiles: what it refuses ends before it has begun. */
  async #hold(open: OpenRequest, guidance: Guidance): Promise<void> {
    const { compile = compileGuidance } = this.#options;
    this.#held.add(open);
    try {
      await compile(guidance);
    } finally {
      this.#held.delete(open);
    }
  }

  #begin({ sink }: OpenRequest): void {
    sink.onPlaced({
      worker: WORKER,
      attempt: 1,
      cachedTokens: 3,
      decision: { rule: "round-robin", at: 1, of: 1 },
      waitedMs: undefined,
    });
    this.#run();
  }

  /** One step: every open choice says its next tokens. */
  step(): void {
    for (const open of this.#open) {
      if (this.#held.has(open)) continue;
      if (open.request.kind === "embed") this.#embed(open);
      else for (const choice of open.choices) this.#tell(open, choice);
    }
  }

  #run(): void {
    if (!this.#options.running || this.#stepping) return;
    this.#stepping = true;
    setImmediate(() => {
      this.#stepping = false;
      this.step();
      if (this.#open.size > 0) this.#run();
    });
  }

  #embed(open: OpenRequest): void {
    const { request, sink } = open;
    for (const [index, prompt] of request.input.prompts.entries()) {
      sink.onEmbedding(index, this.#options.embedding?.(prompt) ?? Float32Array.of(0.5, -1.25, 3));
      sink.onEnd(index, { reason: "done", stopToken: undefined });
    }
    this.#open.delete(open);
    sink.onDone(usageOf(open));
  }

  #tell(open: OpenRequest, choice: OpenChoice): void {
    if (choice.over) return;
    const { request, sink } = open;
    const { reply } = choice;
    const most = Math.min(reply.tokens.length, request.stopping.maxTokens);
    const to = Math.min(most, choice.told + (this.#options.tokensPerStep ?? 1));
    const tokens = reply.tokens.subarray(choice.told, to);
    if (choice.told === 0) this.#score(open, choice);
    choice.told = to;
    if (tokens.length > 0) sink.onTokens(choice.index, tokens, logprobsOf(tokens, request.topLogprobs));
    if (choice.over || to < most) return;
    if (reply.error) {
      this.#open.delete(open);
      sink.onError(reply.error);
    } else this.#end(open, choice, most < reply.tokens.length ? "length" : (reply.reason ?? "end"));
  }

  /** Two tokens of the prompt at a time. */
  #score({ request, sink }: OpenRequest, choice: OpenChoice): void {
    if (!request.promptLogprobs) return;
    const prompt = request.input.prompts[Math.floor(choice.index / request.choicesPerPrompt)]!;
    for (let position = 1; position < prompt.length; position += 2) {
      const part = prompt.subarray(position, position + 2);
      sink.onPromptLogprobs?.(choice.index, position, logprobsOf(part, request.topLogprobs)!);
    }
  }

  #end(open: OpenRequest, choice: OpenChoice, reason: ChoiceEnd["reason"]): void {
    if (choice.over || !this.#open.has(open)) return;
    choice.over = true;
    open.sink.onEnd(choice.index, { reason, stopToken: choice.reply.stopToken });
    if (!open.choices.every((one) => one.over)) return;
    this.#open.delete(open);
    open.sink.onDone(usageOf(open));
  }
}

function usageOf({ request, choices }: OpenRequest): Usage {
  const each = choices.map(({ index, told, counted }) => ({
    promptTokens: request.input.prompts[Math.floor(index / request.choicesPerPrompt)]!.length,
    cachedTokens: 3,
    completionTokens: counted ?? told,
  }));
  return sumUsage(each, request.choicesPerPrompt);
}

/** The token itself at -0.5 and its neighbours below it. */
function logprobsOf(tokens: Uint32Array, top: number | undefined): ServingLogprobs | undefined {
  if (top === undefined) return undefined;
  const topTokens = new Uint32Array(tokens.length * top);
  const topValues = new Float32Array(tokens.length * top);
  for (const [at, token] of tokens.entries()) {
    for (let rank = 0; rank < top; rank++) {
      topTokens[at * top + rank] = rank === 0 ? token : (token + rank) % 128;
      topValues[at * top + rank] = -0.5 - rank;
    }
  }
  return { chosen: new Float32Array(tokens.length).fill(-0.5), topTokens, topValues };
}
