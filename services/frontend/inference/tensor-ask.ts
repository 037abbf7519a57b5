import { deadlineOf } from "#lib/api/kserve/deadline";
import { refusedSequence, SEQUENCE_PARAMETERS } from "#lib/api/kserve/parameters";
import type { ParameterValue } from "#lib/api/kserve/peek";
import { StatorError } from "#lib/base/errors";
import { NO_WISHES } from "#lib/routing/router";
import type { Ask } from "#lib/serving/ask";
import { GREEDY } from "#lib/tokens/sampling";
import { readSession, readTarget, readTrace } from "../serve/beside.ts";
import type { ForwardAsk } from "./forwarding.ts";

/** What a request for a model of tensors has in the place of a prompt. */
const NO_PROMPT = [new Uint32Array(0)] as const;
const NO_TOKENS = new Uint32Array(0);

/**
 * The ask that places a request of tensors: its pin, session and deadline, by parameters and by what the call says beside
 * its messages, which goes before. Every other parameter is the model's. Throws INVALID_FIELD, and UNSUPPORTED_FEATURE for
 * what needs the worker of an earlier request.
 */
export function readTensorAsk({ head, requestId, route, header }: Omit<ForwardAsk, "bytes" | "method">): Ask<never> {
  const { modelName, parameters } = head;
  for (const name of SEQUENCE_PARAMETERS) if (parameters.has(name)) throw refusedSequence(name);
  const pinned = readTarget(readText(parameters, "stator_worker"), "stator_worker");
  const wishes = readSession(readText(parameters, "stator_session"), NO_WISHES, "stator_session");
  return {
    requestId,
    route,
    kind: "tensor",
    model: modelName,
    adapter: undefined,
    input: { kind: "tokens", prompts: NO_PROMPT, tokenizer: "" },
    choicesPerPrompt: 1,
    sampling: { ...GREEDY, seed: 0n },
    stopping: {
      ...{ maxTokens: 0, minTokens: 0, ignoreEos: false, stopTokens: NO_TOKENS },
      ...{ stopTexts: [], includeStop: false },
    },
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    cacheSalt: "",
    // Who computes it reads that: nothing waits here in an order.
    priority: 0,
    target: readTarget(header("x-stator-worker")) ?? pinned,
    wishes: readSession(header("x-stator-session"), wishes),
    deadlineMs: readTimeout(parameters.get("timeout")),
    traceparent: readTrace(header("traceparent")),
    pooling: undefined,
    normalize: false,
  };
}

function readText(parameters: ReadonlyMap<string, ParameterValue>, name: string): string | undefined {
  const value = parameters.get(name);
  if (value === undefined || typeof value === "string") return value;
  throw new StatorError("INVALID_FIELD", { field: name, detail: "is a text" }, { param: name });
}

/** Microseconds, as the protocol has it, in milliseconds; 0 is none. */
function readTimeout(micros: ParameterValue): number | undefined {
  if (micros === undefined) return undefined;
  if (typeof micros !== "bigint" || micros < 0n) {
    throw new StatorError(
      "INVALID_FIELD",
      { field: "timeout", detail: "is a number of microseconds" },
      { param: "timeout" },
    );
  }
  return deadlineOf(Number(micros));
}
