import { NO_WISHES } from "#lib/routing/router";
import { GREEDY } from "#lib/tokens/sampling";
import type { AskStopping, ReadyAsk } from "./ask.ts";

/** What of an ask differs from the plain one, without its nesting. */
export type PlainChanges = Partial<Omit<ReadyAsk, "input" | "stopping" | "target">> &
  Partial<AskStopping & { maxTokens: number }> & {
    readonly prompts?: readonly Uint32Array[];
    readonly tokenizer?: string;
    readonly worker?: bigint | undefined;
  };

/** A greedy ask for one choice with every default filled in, for canaries, tools and tests. */
export function plainAsk(changes: PlainChanges = {}): ReadyAsk {
  const { prompts = [Uint32Array.of(1, 2, 3)], tokenizer = "", worker, ...others } = changes;
  const { maxTokens = 8, minTokens = 0, ignoreEos = false, stopTokens = new Uint32Array(0), ...rest } = others;
  const { stopTexts = [], includeStop = false, ...more } = rest;
  return {
    requestId: "r1",
    route: "chat",
    kind: "generate",
    model: "m",
    adapter: undefined,
    input: { kind: "tokens", prompts, tokenizer },
    choicesPerPrompt: 1,
    sampling: { ...GREEDY, seed: 1n },
    stopping: { maxTokens, minTokens, ignoreEos, stopTokens, stopTexts, includeStop },
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    cacheSalt: "",
    priority: 0,
    wishes: NO_WISHES,
    target: worker === undefined ? undefined : { worker, rank: undefined },
    deadlineMs: undefined,
    traceparent: undefined,
    pooling: undefined,
    normalize: true,
    ...more,
  };
}
