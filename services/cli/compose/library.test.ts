import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { openMock } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { DEMO_MODEL_PATH } from "./engine.ts";
import type { EngineRecipe } from "./engine-recipe.ts";
import { createFrontend, createWorker } from "./library.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-library-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Nothing of libllama in this process. */
const OPTIONS = { discovery: pathToFileURL(folder).href, "tokenizer.engine": "javascript" } as const;

test("a program serves an engine of its own behind a frontend of its own", async () => {
  const engine: EngineRecipe = {
    engine: "mine",
    model: "my-model",
    aliases: [],
    open: () =>
      openMock({
        ...{ modelPath: DEMO_MODEL_PATH, model: "my-model", clock: systemClock, log: silentLog },
        timing: { kind: "polynomial", speedup: 0, decodeSpeedup: 1 },
      }),
  };
  const worker = await createWorker(OPTIONS, { engine });
  const frontend = await createFrontend({ ...OPTIONS, "http.port": 0 });
  const body = { model: "my-model", messages: [{ role: "user", content: "Hello" }], max_tokens: 5 };
  const answer = await fetch(`http://${frontend.address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(await answer.json()).toMatchObject({ model: "my-model", usage: { completion_tokens: 5 } });
  expect(worker.card.model).toBe("my-model");
  await frontend.close();
  await worker.close();
  await expect(fetch(`http://${frontend.address}/live`)).rejects.toThrow("fetch failed");
});

test("mistakes are told as those of a file are, and nothing stays open", async () => {
  await expect(createFrontend({ ...OPTIONS, "http.port": 70_000 })).rejects.toThrow(
    "http.port: expected a whole number from 0 to 65535",
  );
  await expect(createFrontend({ "http.port": 0 })).rejects.toMatchObject({ reason: "BAD_CONFIG" });
  const taken = await createFrontend({ ...OPTIONS, "http.port": 0 });
  const port = Number(taken.address.split(":").at(-1));
  await expect(createFrontend({ ...OPTIONS, "http.port": port })).rejects.toMatchObject({ reason: "PORT_IN_USE" });
  await taken.close();
});

test("a load that nobody waits for any more is ended", async () => {
  const abort = new AbortController();
  const told = Promise.withResolvers<void>();
  const engine: EngineRecipe = {
    ...{ engine: "slow", model: "m", aliases: [] },
    open: (_onProgress, signal) =>
      new Promise((_resolve, reject) => {
        told.resolve();
        signal.addEventListener("abort", () => reject(new Error("aborted")));
      }),
  };
  const loading = createWorker(OPTIONS, { engine, signal: abort.signal });
  await told.promise;
  abort.abort();
  await expect(loading).rejects.toMatchObject({ reason: "CANCELLED" });
});
