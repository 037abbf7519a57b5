import { StatorError } from "#lib/base/errors";
import type { Admission, EngineFinish, GenerateRequest } from "#lib/engines/engine";
import { FakeEngine } from "./fake-engine.ts";
import { NOTHING_KNOWN } from "./late-engine.ts";

const { capabilities } = new FakeEngine().card;

interface Running {
  readonly request: GenerateRequest;
  told: number;
  stopped: boolean;
}

/**
 * An engine in front of somebody else's server: it takes text and answers with text, knows nothing of its size, and says
 * later whether it takes a request. Its prompt tokens are words.
 */
export class TextEngine extends FakeEngine {
  /** What it says to every request, one piece in each turn. */
  pieces: readonly string[] = [" there", " was", " a", " fo", "x", "."];
  /** In order. */
  readonly requests: GenerateRequest[] = [];
  /** Pieces that were said to each request, in the order in which they ended. */
  readonly said: number[] = [];
  readonly #running = new Map<number, Running>();

  constructor(model: string) {
    super({
      ...{ model, engine: "foreign", input: "text", artifacts: [], hashScheme: "", quantization: "" },
      ...{ ...NOTHING_KNOWN, modelDigest: new Uint8Array(0), deterministic: "no" },
      capabilities: {
        ...capabilities,
        ...{ logprobs: "unknown", grammar: "unknown", promptLogprobs: false, lora: false, embed: false },
        ...{ embeddingSize: 0, maxTopLogprobs: undefined },
        missing: { kvBlocks: "the server keeps its blocks to itself" },
      },
    });
    this.text = undefined;
    this.answersLater = true;
  }

  override submit(request: GenerateRequest): Admission | "later" {
    this.requests.push(request);
    setImmediate(() => this.#answer(request));
    return super.submit(request);
  }

  override cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    super.cancel(ids, mode);
    for (const id of ids) {
      const running = this.#running.get(id);
      if (running) running.stopped = true;
    }
  }

  #answer(request: GenerateRequest): void {
    const { id, promptText = "" } = request;
    if (promptText.includes("refuse")) {
      this.refuseLate(id, new StatorError("CONTEXT_LENGTH", { promptTokens: 9, contextTokens: 8, model: "far" }));
      return;
    }
    this.admit(id);
    this.#running.set(id, { request, told: 0, stopped: false });
    setImmediate(() => this.#play(id));
  }

  #play(id: number): void {
    const running = this.#running.get(id)!;
    const { request, told, stopped } = running;
    const most = Math.min(request.stopping.maxTokens, this.pieces.length);
    const texts = stopped || told === most ? [] : [{ id, text: this.pieces[told]! }];
    running.told += texts.length;
    const isOver = stopped || running.told === most;
    const reason: EngineFinish["reason"] = stopped ? "cancelled" : most < this.pieces.length ? "length" : "end";
    const promptTokens = (request.promptText ?? "").split(" ").length;
    const finish = { id, reason, promptTokens, completionTokens: running.told };
    this.step({ texts, finishes: isOver ? [finish] : [], metrics: { totalBlocks: 0 } });
    if (!isOver) {
      setImmediate(() => this.#play(id));
      return;
    }
    this.said.push(running.told);
    this.#running.delete(id);
  }
}
