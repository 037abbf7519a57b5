import { askKserve } from "./kserve-grpc.ts";
import { askGenerate, askInfer } from "./kserve-http.ts";
import { askOpenai } from "./openai.ts";
import { askOpenEngine } from "./openengine.ts";
import type { SameAnswer, SameAsk, ServedModel } from "./served.ts";

/** One way to ask for an answer. */
export interface SameDoor {
  /** It tells the answer's tokens, where it is asked to. */
  readonly ids: boolean;
  /** Asks, and reads the whole answer. Rejects for one that is an error. */
  readonly ask: (served: ServedModel, ask: SameAsk) => Promise<SameAnswer>;
}

/** Every way to ask for an answer, by its name. A door that comes later is one row more. */
export const SAME_DOORS: Readonly<Record<string, SameDoor>> = {
  chat: { ids: false, ask: askOpenai("/v1/chat/completions", { stream: false }) },
  "chat, streamed": { ids: false, ask: askOpenai("/v1/chat/completions", { stream: true }) },
  completions: { ids: false, ask: askOpenai("/v1/completions", { stream: false }) },
  "completions, streamed": { ids: false, ask: askOpenai("/v1/completions", { stream: true }) },
  "KServe's chat": { ids: false, ask: askOpenai("/openai/v1/chat/completions", { stream: false }) },
  "KServe's completions, streamed": { ids: false, ask: askOpenai("/openai/v1/completions", { stream: true }) },
  "ModelInfer, raw": { ids: true, ask: askKserve({ contents: "raw", stream: false }) },
  "ModelInfer, typed": { ids: true, ask: askKserve({ contents: "typed", stream: false }) },
  "ModelInfer, shared memory": { ids: true, ask: askKserve({ contents: "shared", stream: false }) },
  "ModelInfer, tokens": { ids: true, ask: askKserve({ contents: "raw", stream: false, tokens: true }) },
  "ModelInfer, typed tokens": { ids: true, ask: askKserve({ contents: "typed", stream: false, tokens: true }) },
  "ModelStreamInfer, raw": { ids: true, ask: askKserve({ contents: "raw", stream: true }) },
  "ModelStreamInfer, typed": { ids: true, ask: askKserve({ contents: "typed", stream: true }) },
  "ModelStreamInfer, shared memory": { ids: true, ask: askKserve({ contents: "shared", stream: true }) },
  "infer, JSON": { ids: true, ask: askInfer({ contents: "json" }) },
  "infer, binary": { ids: true, ask: askInfer({ contents: "binary" }) },
  "infer, shared memory": { ids: true, ask: askInfer({ contents: "shared" }) },
  "infer, tokens": { ids: true, ask: askInfer({ contents: "binary", tokens: true }) },
  "openengine.v1": { ids: false, ask: askOpenEngine },
  generate: { ids: false, ask: askGenerate("generate") },
  generate_stream: { ids: false, ask: askGenerate("generate_stream") },
};
