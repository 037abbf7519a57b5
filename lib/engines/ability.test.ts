import { expect, it } from "vitest";
import { GREEDY } from "#lib/tokens/sampling";
import { FakeEngine } from "../../test/support/fake-engine.ts";
import { adaptersOf, requireAbility, submitTo } from "./ability.ts";
import type { Engine } from "./engine.ts";

const EMBED = { kind: "embed", promptTokens: Uint32Array.of(1), pooling: undefined, normalize: true } as const;
const GENERATE = {
  kind: "generate",
  promptTokens: Uint32Array.of(1),
  generatedTokens: new Uint32Array(0),
  choice: 0,
  sampling: GREEDY,
  stopping: { maxTokens: 1, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array(0) },
  guidance: undefined,
  topLogprobs: undefined,
  promptLogprobs: false,
  adapter: undefined,
  cacheSalt: "",
  priority: 0,
} as const;

/** The core of an engine and nothing more. */
function bareEngine(missing: Readonly<Record<string, string>>): Engine {
  const { card } = new FakeEngine();
  const capabilities = { ...card.capabilities, embed: false, lora: false, missing };
  return {
    card: { ...card, capabilities },
    listen() {},
    submit: () => ({ cachedTokens: 7, queuedAhead: 0 }),
    cancel() {},
    close: async () => {},
  };
}

it("a request goes to the part of the engine that takes its kind", () => {
  const whole = new FakeEngine();
  submitTo(whole, { ...EMBED, id: 1 });
  submitTo(whole, { ...GENERATE, id: 2 });
  expect([...whole.open.values()].map(({ kind }) => kind)).toEqual(["embed", "generate"]);
  expect(submitTo(bareEngine({}), { ...GENERATE, id: 1 })).toEqual({ cachedTokens: 7, queuedAhead: 0 });
});

it("what an engine does not add is refused with its own reason, or a plain one", () => {
  const bare = bareEngine({ embed: "the model has no head for it", lora: "its adapters are fixed" });
  expect(() => submitTo(bare, { ...EMBED, id: 1 })).toThrow(
    "Embedding is not available: the model has no head for it.",
  );
  expect(() => requireAbility(bare, "adapters")).toThrow("LoRA is not available: its adapters are fixed.");
  expect(() => requireAbility(bare, "text")).toThrow("Text as input is not available: its engine has none of it.");
  expect(() => requireAbility(bareEngine({}), "blocks")).toThrow("Moving KV blocks is not available");
  expect(adaptersOf(bare)).toEqual([]);
});

it("adapters of an engine that has them are listed", async () => {
  const engine = new FakeEngine();
  await requireAbility(engine, "adapters").load("pirate", "/a");
  expect(adaptersOf(engine)).toMatchObject([{ name: "pirate" }]);
});
