import type { RequestRecord, WorkerView } from "#gen/stator/frontend/v1/frontend_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { SeededChance } from "#lib/base/chance";
import type { StatorError } from "#lib/base/errors";
import type { Discovery, DiscoveryWatch } from "#lib/discovery/discovery";
import { ModelView } from "#lib/discovery/model-view";
import { openDiscovery } from "#lib/discovery/open";
import { createDispatcher, type FrontendDispatcher } from "#lib/dispatch/dispatcher";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { type Disaggregation, USUAL_DISAGGREGATION } from "#lib/routing/legs/disaggregation";
import { createPlainRouter } from "#lib/routing/plain-router";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import type { ServingLogprobs } from "#lib/serving/answer";
import { plainAsk } from "#lib/serving/plain-ask";
import { GREEDY } from "#lib/tokens/sampling";
import type { GateAnswer } from "./answers.ts";
import type { GateRequest } from "./asks.ts";
import { GATE_MODEL } from "./worker-spec.ts";

/** How often a client asks at most, and how long it waits before that. */
const MOST_ASKED = 100;
const AGAIN_MS = 200;

/** What a frontend of the gate is opened with. */
export interface GateFrontendOptions {
  /** URL where its workers are found. */
  readonly discovery: string;
  /** Records that it keeps. */
  readonly records: number;
  /** How answers are split; by default whenever there is a worker for prompts. */
  readonly split?: Partial<Disaggregation>;
}

/** The part of a frontend that runs requests: its dispatcher, over links to the workers that discovery shows. */
export class GateFrontend {
  readonly dispatcher: FrontendDispatcher;
  /** Requests that nobody could take at first. */
  askedAgain = 0;
  readonly #discovery: Discovery;
  readonly #watch: DiscoveryWatch;
  readonly #view: ModelView;
  /** Digest of the one that made the prompts. */
  #tokenizer = "";

  private constructor(discovery: Discovery, watch: DiscoveryWatch, { records, split }: GateFrontendOptions) {
    const common = { clock: systemClock, chance: new SeededChance(1n), log: silentLog, metrics: noMetrics };
    this.#discovery = discovery;
    this.#watch = watch;
    this.#view = new ModelView({ watch, clock: systemClock });
    const disaggregation = { ...USUAL_DISAGGREGATION, bypass: "none" as const, ...split };
    this.dispatcher = createDispatcher({
      ...common,
      caller: "frontend/gate",
      view: this.#view,
      ledgerRecords: records,
      connect({ address }) {
        const channel = new Channel(address, loopbackCredentials, systemClock);
        return { channel: channel.open(WorkerLinkService.method.link), close: () => channel.close() };
      },
      router: (locate) =>
        createPlainRouter({ ...common, mode: "kv", followsEvents: false, locate, split: disaggregation }),
    });
  }

  static async open(options: GateFrontendOptions): Promise<GateFrontend> {
    const deps = { clock: systemClock, chance: new SeededChance(2n), log: silentLog, metrics: noMetrics };
    const discovery = await openDiscovery(options.discovery, { ...deps, credentials: loopbackCredentials });
    return new GateFrontend(discovery, await discovery.watch(""), options);
  }

  /** Resolves when so many workers take requests for all of these names. */
  async ready(workers: number, names: readonly string[]): Promise<void> {
    while (!this.#isReady(workers, names)) await new Promise((resolve) => setTimeout(resolve, 20));
    this.#tokenizer = this.#view.known(GATE_MODEL).tokenizer;
  }

  #isReady(workers: number, names: readonly string[]): boolean {
    if (this.dispatcher.workers().filter(({ link }) => link === "ready").length < workers) return false;
    return names.every((name) => {
      const { sets = [] } = this.#view.models.names.get(name) ?? {};
      const met = new Set(sets.flatMap((set) => set.workers.map(({ instance }) => instance.instanceId)));
      return met.size >= workers;
    });
  }

  /** The choices of a request, as its client sees them, who comes again when nobody can take it now. */
  async ask(request: GateRequest): Promise<GateAnswer[]> {
    for (let asked = 1; ; asked++) {
      const answer = await this.#askOnce(request);
      if (!("error" in answer)) return answer;
      const { retryAfterMs } = answer.error;
      if (retryAfterMs === undefined || asked === MOST_ASKED) return request.asks.map(() => refused(answer.error));
      this.askedAgain++;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  /** An error with a time to come again is only that when nothing was told before it. */
  #askOnce({ at, asks }: GateRequest): Promise<GateAnswer[] | { readonly error: StatorError }> {
    const { promise, resolve } = Promise.withResolvers<GateAnswer[] | { readonly error: StatorError }>();
    const answers = asks.map(() => ({ ...emptyAnswer(), end: "" }));
    this.dispatcher.start(requestOf(at, asks, this.#tokenizer), {
      onPlaced() {},
      onEmbedding() {},
      onTokens(choice, tokens, logprobs) {
        const answer = answers[choice]!;
        answer.tokens.push(...tokens);
        if (logprobs) takeLogprobs(answer, logprobs);
      },
      onEnd(choice, { reason }) {
        answers[choice]!.end = reason;
      },
      onDone: ({ cachedTokens }) => resolve(answers.map((answer) => ({ ...answer, cachedTokens }))),
      onError: (error) =>
        resolve(answers.some(({ tokens }) => tokens.length > 0) ? asks.map(() => refused(error)) : { error }),
    });
    return promise;
  }

  /** Of the requests that have ended, newest first. */
  records(count: number): RequestRecord[] {
    return this.dispatcher.ledger.latest(count);
  }

  workers(): WorkerView[] {
    return this.dispatcher.workers();
  }

  async close(): Promise<void> {
    await this.dispatcher.close();
    this.#view.close();
    await this.#watch.close();
    await this.#discovery.close();
  }
}

function emptyAnswer() {
  return { tokens: [] as number[], chosen: [] as number[], top: [] as { token: number; logprob: number }[][] };
}

function refused(error: StatorError): GateAnswer {
  return { ...emptyAnswer(), end: `refused: ${error.reason}`, cachedTokens: 0 };
}

function requestOf(at: number, asks: GateRequest["asks"], tokenizer: string) {
  const { prompt, cacheSalt, adapter, topLogprobs, guidance, sampling, stopping } = asks[0]!;
  return plainAsk({
    ...{ requestId: String(at), model: adapter ?? GATE_MODEL, prompts: [prompt], choicesPerPrompt: asks.length },
    ...{ tokenizer, cacheSalt, guidance, topLogprobs, sampling: { ...GREEDY, ...sampling } },
    ...stopping,
  });
}

function takeLogprobs(answer: ReturnType<typeof emptyAnswer>, { chosen, topTokens, topValues }: ServingLogprobs): void {
  const width = topTokens.length / chosen.length;
  for (const [at, value] of chosen.entries()) {
    answer.chosen.push(value);
    const tokens = [...topTokens.subarray(at * width, (at + 1) * width)];
    answer.top.push(tokens.map((token, rank) => ({ token, logprob: topValues[at * width + rank]! })));
  }
}
