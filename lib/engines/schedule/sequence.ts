import type { BlockChain } from "#lib/tokens/token-chain";
import type { GenerateRequest } from "../engine.ts";

/** Where a request is in its life. A preempted one waits again. */
export type SequenceState = "waiting" | "running" | "ended";

/** One request on its way through the scheduler. Fields are written by the scheduler and its KV account alone. */
export class Sequence {
  readonly request: GenerateRequest;
  /** Prompt, tokens of earlier attempts, tokens drawn and applied. */
  readonly chain: BlockChain;
  /** GBNF with the rule root, made of its guidance; undefined when it has none. */
  readonly grammar: string | undefined;
  /** Arrival; lower came earlier. */
  readonly order: number;
  state: SequenceState = "waiting";
  /** Raised whenever it begins or ceases to run. */
  run = 0;
  /** When it was admitted last, on the scheduler's own count. */
  admitted = 0;
  /** Its place in the KV space while it runs. */
  slot = -1;
  /** Blocks of the pool by index in the sequence. */
  blocks: number[] = [];
  /** Leading blocks that are registered. */
  registered = 0;
  /** Known tokens when it was admitted: positions from here on decode. */
  prefillEnd = 0;
  /** Positions whose computation is planned. */
  planned = 0;
  /** Positions that have been computed. */
  computed = 0;
  /** Place in the prompt of the next token whose log-probability is told; the first has none. */
  scored = 1;
  /** Draws that are planned and not applied. */
  plannedDraws = 0;
  /** Entries that are planned and not applied, of any run. */
  inFlight = 0;
  /** Prompt tokens that were in the cache when it was first admitted. */
  cachedTokens = 0;
  /** Hash of the block that another sequence is computing and this one waits for. */
  awaits: bigint | undefined = undefined;
  /** Whether it was admitted before. */
  admittedBefore = false;
  readonly #contextTokens: number;

  constructor(
    request: GenerateRequest,
    chain: BlockChain,
    options: { order: number; contextTokens: number; grammar?: string | undefined },
  ) {
    this.request = request;
    this.chain = chain;
    this.grammar = options.grammar;
    this.order = options.order;
    this.#contextTokens = options.contextTokens;
  }

  get id(): number {
    return this.request.id;
  }

  /** Tokens of the answer, over this attempt and those before. */
  get generated(): number {
    return this.chain.length - this.request.promptTokens.length;
  }

  /** Tokens that may still be drawn beyond those that are planned. */
  get drawsLeft(): number {
    const { maxTokens } = this.request.stopping;
    const left = Math.min(maxTokens - this.generated, this.#contextTokens - this.chain.length);
    return left - this.plannedDraws;
  }

  /** Whether log-probabilities of its prompt are still to be told: then every token before them is computed anew. */
  get isScoring(): boolean {
    const { promptLogprobs, promptTokens } = this.request;
    return promptLogprobs && this.scored < promptTokens.length;
  }

  /** Known or promised tokens that are not planned yet. */
  get remaining(): number {
    return this.chain.length + this.plannedDraws - this.planned;
  }
}
