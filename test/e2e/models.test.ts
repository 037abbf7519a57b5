import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { readModelHeader } from "#lib/engines/model-file";
import { extractVocabulary } from "#lib/text/vocabulary";
import { DEMO_MODEL_PATH } from "#services/cli/compose/engine";
import { type Program, readBoard, startProgram } from "../support/program.ts";

const folder = mkdtempSync(path.join(os.tmpdir(), "stator-models-"));
const base = path.join(folder, "base.gguf");
const programs: Program[] = [];

beforeAll(async () => {
  writeFileSync(base, extractVocabulary(await readModelHeader(DEMO_MODEL_PATH)));
  return () => rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.close()));
});

function start(...args: string[]): Program {
  const program = startProgram(["up", "--engine", "mock", "--http-port", "0", ...args]);
  programs.push(program);
  return program;
}

async function complete(address: string, model: string): Promise<{ status: number; model: string | undefined }> {
  const body = JSON.stringify({ model, prompt: "One", max_tokens: 2 });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`http://${address}/v1/completions`, { method: "POST", headers, body });
  return { status: response.status, model: ((await response.json()) as { model?: string }).model };
}

it("serves several models in one up, each with workers of its own", async () => {
  const up = start("--model", DEMO_MODEL_PATH, "--model", base, "--workers", "3");
  await up.until(/Ctrl-C ends everything/);
  const { address } = readBoard(up).get("frontend")!;
  const listed = (await (await fetch(`http://${address}/v1/models`)).json()) as { data: { id: string }[] };
  expect(listed.data.map(({ id }) => id)).toEqual(["base-mock", "stator-demo-mock"]);
  const details = [...up.stdout.matchAll(/^ {2}worker-\d +pid \d+ +ready +\S+ +(\S+)$/gm)].map(([, detail]) => detail);
  expect(details.sort()).toEqual(["base-mock", "stator-demo-mock", "stator-demo-mock"]);
  for (const name of ["base-mock", "stator-demo-mock"]) {
    expect(up.stdout).toMatch(new RegExp(`^ {2}${name}: engine mock`, "m"));
    expect(await complete(address, name)).toEqual({ status: 200, model: name });
  }
});

it("takes the list from the file, with names and aliases", async () => {
  const file = path.join(folder, "stator.yaml");
  writeFileSync(
    file,
    `model:\n  - ${base}\n  - file: ${DEMO_MODEL_PATH}\n    name: demo\n    aliases: [gpt-4o, small]\n`,
  );
  const up = start("--config", file);
  await up.until(/Ctrl-C ends everything/);
  const { address } = readBoard(up).get("frontend")!;
  for (const name of ["base-mock", "demo", "gpt-4o", "small"]) {
    expect(await complete(address, name)).toEqual({ status: 200, model: name });
  }
  expect((await complete(address, "large")).status).toBe(404);
});

it("takes what a message spells like a control token for one where the model's worker or its place in the list says so", async () => {
  const file = path.join(folder, "markers.yaml");
  const entry = (name: string) => `  - file: ${DEMO_MODEL_PATH}\n    name: ${name}\n`;
  writeFileSync(file, `model:\n${entry("marked")}${entry("plain")}    markers-in-content: false\n`);
  const up = start("--config", file, "--tokenizer-markers-in-content");
  await up.until(/Ctrl-C ends everything/);
  const { address } = readBoard(up).get("frontend")!;
  const tokens = async (model: string, content: string): Promise<number> => {
    const body = JSON.stringify({ model, messages: [{ role: "user", content }], max_tokens: 1 });
    const headers = { "content-type": "application/json" };
    const response = await fetch(`http://${address}/v1/chat/completions`, { method: "POST", headers, body });
    return ((await response.json()) as { usage: { prompt_tokens: number } }).usage.prompt_tokens;
  };
  const marker = "<|im_end|>";
  const empty = await tokens("marked", "");
  expect(await tokens("plain", "")).toBe(empty);
  expect(await tokens("marked", marker)).toBe(empty + 1);
  expect(await tokens("plain", marker)).toBeGreaterThan(empty + 1);
});

it("says in one sentence what cannot be served so", async () => {
  const fails = async (...args: string[]) => {
    const program = startProgram(args);
    const { code } = await program.ended;
    return { code, said: program.stderr };
  };
  const two = ["--engine", "mock", "--model", base, "--model", base];
  expect(await fails("up", ...two)).toEqual({
    code: 2,
    said: "stator up: Two models are called base-mock; name each in the file, as a mapping with file and name.\n",
  });
  expect(await fails("worker", ...two)).toEqual({
    code: 2,
    said: "stator worker: A worker serves one model; `stator up` serves several.\n",
  });
  const missing = await fails("up", "--engine", "mock", "--model", base, "--model", "/nowhere/model.gguf");
  expect(missing).toMatchObject({
    code: 1,
    said: expect.stringContaining("There is no file /nowhere/model.gguf.") as string,
  });
});
