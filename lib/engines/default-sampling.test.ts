import { expect, it } from "vitest";
import { createLog, silentLog } from "#lib/host/log";
import { parseGgufHeader } from "#lib/text/gguf";
import { buildGguf, type GgufValue } from "../../test/support/gguf-builder.ts";
import { readDefaultSampling } from "./default-sampling.ts";

const headerOf = (values: Readonly<Record<string, GgufValue>>) =>
  parseGgufHeader(buildGguf({ "general.architecture": "llama", ...values }, []), "m.gguf");

const FILE = headerOf({
  "general.sampling.temp": { f32: 0.7 },
  "general.sampling.top_k": 64,
  "general.sampling.top_p": { f32: 0.95 },
  "general.sampling.min_p": { f32: 0 },
  "general.sampling.penalty_repeat": { f32: 1.05 },
});
const OF_FILE = { temperature: 0.7, top_k: 64, top_p: 0.95, min_p: 0, repetition_penalty: 1.05 };

it("reads what the file says, in the digits that it was meant in", () => {
  expect(readDefaultSampling(FILE, undefined, silentLog)).toEqual(OF_FILE);
  expect(readDefaultSampling(headerOf({}), undefined, silentLog)).toEqual({});
});

it("lets an operator go first, value by value or without the file", () => {
  const values = { temperature: 0, presence_penalty: 1 };
  expect(readDefaultSampling(FILE, { alone: false, values }, silentLog)).toEqual({ ...OF_FILE, ...values });
  expect(readDefaultSampling(FILE, { alone: true, values }, silentLog)).toEqual(values);
});

it("leaves out, and names, what no request might ask for", () => {
  const lines: string[] = [];
  const log = createLog({ level: "warn", pretty: false, write: (line) => lines.push(line) });
  const header = headerOf({
    "general.sampling.temp": { f32: 9 },
    "general.sampling.top_p": "high",
    "general.sampling.top_k": 5,
  });
  expect(readDefaultSampling(header, undefined, log)).toEqual({ top_k: 5 });
  expect(lines.join()).toMatch(/left out.*general\.sampling\.temp.*0 to 2/);
  expect(lines).toHaveLength(1);
});
