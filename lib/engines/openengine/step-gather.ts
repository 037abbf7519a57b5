import type {
  EngineFinish,
  EngineLogprobs,
  EnginePromptLogprobs,
  EngineStep,
  GenerateRequest,
  StepMetrics,
} from "../engine.ts";
import type { AnswerPart } from "./answer.ts";

/** Tokens of one request in one step: what its count can say. */
const MOST_TOKENS = 255;

/** What came of one request and was not told yet. */
interface Gathered {
  readonly request: GenerateRequest;
  tokens: number[];
  text: string;
  /** As many as there are tokens, where they were asked for. */
  chosen: number[];
  topTokens: number[];
  topValues: number[];
  promptLogprobs: EnginePromptLogprobs[];
  finish: EngineFinish | undefined;
}

/** Gathers what comes in one turn of the event loop, message by message, into steps as an engine of one process makes them. */
export class StepGather {
  readonly #waiting = new Map<number, Gathered>();

  /** Nothing waits. */
  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Adds what one message said. */
  add(request: GenerateRequest, { tokens, text, logprobs, promptLogprobs }: AnswerPart): void {
    if (tokens.length === 0 && text === "" && !promptLogprobs) return;
    const gathered = this.#of(request);
    gathered.tokens.push(...tokens);
    gathered.text += text;
    if (logprobs) {
      gathered.chosen.push(...logprobs.chosen);
      gathered.topTokens.push(...logprobs.topTokens);
      gathered.topValues.push(...logprobs.topValues);
    }
    if (promptLogprobs) gathered.promptLogprobs.push({ id: request.id, ...promptLogprobs });
  }

  /** The request ended; nothing is added behind it. */
  finish(request: GenerateRequest, finish: EngineFinish): void {
    this.#of(request).finish = finish;
  }

  /** The next step; undefined when nothing waits. What does not fit is left for the one after it. */
  take(metrics: StepMetrics): EngineStep | undefined {
    if (this.isEmpty) return undefined;
    const ids: number[] = [];
    const counts: number[] = [];
    const tokens: number[] = [];
    const texts: { id: number; text: string }[] = [];
    const finishes: EngineFinish[] = [];
    const logprobs: EngineLogprobs[] = [];
    const promptLogprobs: EnginePromptLogprobs[] = [];
    for (const [id, gathered] of this.#waiting) {
      promptLogprobs.push(...gathered.promptLogprobs.splice(0));
      const count = Math.min(gathered.tokens.length, MOST_TOKENS);
      if (count > 0) {
        ids.push(id);
        counts.push(count);
        tokens.push(...gathered.tokens.splice(0, count));
        if (gathered.chosen.length > 0) logprobs.push(takeLogprobs(gathered, count));
      }
      if (gathered.text !== "") texts.push({ id, text: gathered.text });
      gathered.text = "";
      if (gathered.tokens.length > 0) continue;
      if (gathered.finish) finishes.push(gathered.finish);
      this.#waiting.delete(id);
    }
    return {
      metrics: { ...metrics, decodeSequences: ids.length + texts.length },
      ids: Uint32Array.from(ids),
      counts: Uint8Array.from(counts),
      tokens: Uint32Array.from(tokens),
      texts,
      finishes,
      logprobs,
      promptLogprobs,
      embeddings: [],
    };
  }

  #of(request: GenerateRequest): Gathered {
    let gathered = this.#waiting.get(request.id);
    if (!gathered) {
      const lists = { tokens: [], chosen: [], topTokens: [], topValues: [], promptLogprobs: [] };
      gathered = { request, ...lists, text: "", finish: undefined };
      this.#waiting.set(request.id, gathered);
    }
    return gathered;
  }
}

function takeLogprobs(gathered: Gathered, count: number): EngineLogprobs {
  const width = gathered.request.topLogprobs ?? 0;
  return {
    id: gathered.request.id,
    chosen: Float32Array.from(gathered.chosen.splice(0, count)),
    topTokens: Uint32Array.from(gathered.topTokens.splice(0, count * width)),
    topValues: Float32Array.from(gathered.topValues.splice(0, count * width)),
  };
}
