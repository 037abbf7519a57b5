import type { EngineCapabilities, EngineCard } from "../engine.ts";

/** What a card cannot do without. */
export type CardFacts = Pick<EngineCard, "engine" | "model" | "input">;

const CAPABILITIES: EngineCapabilities = {
  generate: true,
  embed: false,
  grammar: false,
  logprobs: false,
  promptLogprobs: false,
  lora: false,
  kvBlocks: false,
  mock: false,
  embeddingSize: 0,
  maxTopLogprobs: 0,
  missing: {
    embed: "its engine makes answers alone",
    grammar: "its engine holds answers to no form",
    logprobs: "its engine does not tell how likely its tokens are",
    promptLogprobs: "its engine does not tell how likely its tokens are",
    kvBlocks: "its engine keeps no blocks that others could read",
    deterministic: "its engine promises nothing",
  },
};

/** The card of an engine that makes answers, does nothing else, and of which nothing more is known; with what `facts` says in place of that. */
export function plainCard(facts: CardFacts & Partial<EngineCard>): EngineCard {
  return {
    software: { name: "", version: "" },
    contextTokens: undefined,
    blockTokens: undefined,
    reuseTokens: undefined,
    totalBlocks: undefined,
    maxRunningRequests: undefined,
    maxWaitingRequests: undefined,
    hashScheme: "",
    quantization: "",
    modelDigest: new Uint8Array(0),
    capabilities: CAPABILITIES,
    deterministic: "no",
    defaultSampling: {},
    artifacts: [],
    layout: undefined,
    times: undefined,
    facts: [],
    ...facts,
  };
}
