import { expect, test } from "vitest";
import { silentLog } from "#lib/host/log";
import type { CommandContext } from "../command.ts";
import { engineRecipe } from "./engine.ts";
import { OPTIONS } from "./options.ts";

test("a mock is opened as the options say", async () => {
  const usual = Object.fromEntries(Object.entries(OPTIONS).map(([key, { initial }]) => [key, initial]));
  const asked = { engine: "mock", "mock.context-tokens": 5_000, "mock.max-running": 7, "mock.total-blocks": 1_000 };
  // Of a command's context only these two are read.
  const context = { values: { ...usual, ...asked }, log: silentLog } as unknown as CommandContext;
  const engine = await (await engineRecipe(context)).open(() => {}, new AbortController().signal);
  expect(engine.card).toMatchObject({
    engine: "mock",
    contextTokens: 5_000,
    maxRunningRequests: 7,
    totalBlocks: 1_000,
  });
  await engine.close();
});
