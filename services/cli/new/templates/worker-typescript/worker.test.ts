import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { createFrontend, createWorker } from "stator";

test("a client of OpenAI's API gets an answer", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "worker-"));
  const discovery = pathToFileURL(folder).href;
  const worker = await createWorker({ discovery, engine: "module:./worker.ts" });
  const frontend = await createFrontend({ discovery, "http.port": 0 });
  const url = `http://${frontend.address}/v1/completions`;
  const body = JSON.stringify({ model: worker.card.model, prompt: "once upon a time", max_tokens: 3 });
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { choices, usage } = await response.json();
  assert.equal(choices[0].text, "ONCE UPON A ");
  assert.equal(usage.completion_tokens, 3);
  await frontend.close();
  await worker.close();
  await rm(folder, { recursive: true });
});
