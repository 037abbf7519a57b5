import { readFileSync } from "node:fs";
import path from "node:path";
import { fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CORPUS } from "../support/corpus-runner.ts";
import { createValueCases } from "./corpus-values.ts";
import { fill, type Json } from "./typescript/match.ts";
import { stubs } from "./typescript/stubs.ts";

type Step = { readonly [field: string]: Json };
interface Case {
  readonly name: string;
  readonly promise: string;
  readonly steps: readonly Step[];
}

const read = (file: string) => JSON.parse(readFileSync(path.join(CORPUS, file), "utf8"));
const manifest = read("corpus.json") as { files: readonly string[]; receiveLimitBytes: number };
const cases = manifest.files.flatMap((file) => (read(file) as { cases: readonly Case[] }).cases);
const readme = readFileSync(path.join(CORPUS, "README.md"), "utf8");

/** Names in the first column of the README's tables. */
const documented = [...readme.matchAll(/^\| `([^`]+)`/gm)].map(([, name = ""]) => name);

function matchersIn(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(matchersIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, part]) => [
    ...(name.startsWith("$") ? [name] : []),
    ...matchersIn(part),
  ]);
}

describe("the golden corpus", () => {
  it("names each case once, by the file that it is in, with a sentence of what it holds", () => {
    const names = cases.map(({ name }) => name);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    for (const file of manifest.files) {
      const own = (read(file) as { cases: readonly Case[] }).cases;
      expect(own.filter(({ name }) => !name.startsWith(`${path.parse(file).name}/`))).toEqual([]);
      expect(own.filter(({ promise }) => !promise.endsWith("."))).toEqual([]);
    }
  });

  it("has no kind of step, field of a step or matcher beyond those of its page, and all of them", () => {
    const steps = cases.flatMap((each) => each.steps);
    const kinds = steps.map(({ step }) => String(step));
    const fields = steps.flatMap((step) => Object.keys(step)).filter((field) => field !== "step");
    const lists = steps.flatMap(({ step, expect }) => (step === "call" ? [] : Object.keys((expect ?? {}) as object)));
    const used = new Set([...kinds, ...fields, ...lists, ...steps.flatMap(matchersIn)]);
    const targets = steps.flatMap(({ target }) => (target === undefined ? [] : [String(target)]));
    expect([...used, ...new Set(targets)].filter((name) => !documented.includes(name))).toEqual([]);
    expect(documented.filter((name) => !used.has(name) && !targets.includes(name))).toEqual([]);
  });

  it("calls methods that there are, and names on its page all that it calls", () => {
    const methods = [...new Set(cases.flatMap(({ steps }) => steps.flatMap(({ method }) => method ?? [])))] as string[];
    const kindOf = (method: string) => {
      const [service = "", name] = method.split("/");
      return stubs.getService(service)?.methods.find((each) => each.name === name)?.methodKind;
    };
    expect(methods.filter((method) => kindOf(method) === undefined)).toEqual([]);
    const rows = methods.sort().map((method) => `- ${method}, ${kindOf(method)?.replace("_", " ")}`);
    const [, listed = ""] = /## Methods\n([\s\S]*)$/.exec(readme) ?? [];
    expect(listed.split("\n").filter((line) => line.startsWith("- "))).toEqual(rows);
  });

  it("has requests of just the receive limit and of one byte more", () => {
    const sized = cases.flatMap(({ steps }) => steps).filter(({ requestBytes }) => requestBytes !== undefined);
    const lengths = sized.map(({ method, request }) => {
      const input = stubs.getService(String(method).split("/")[0]!)!.method.modelInfer!.input;
      return toBinary(input, fromJson(input, fill(request!, new Map()) as JsonValue)).byteLength;
    });
    expect(lengths).toEqual(sized.map(({ requestBytes }) => requestBytes));
    const { receiveLimitBytes } = manifest;
    expect(new Set(lengths)).toEqual(new Set([receiveLimitBytes, receiveLimitBytes + 1]));
  });

  it("has values of every message of today's contracts (npm run corpus:values writes them)", () => {
    expect(cases.filter(({ name }) => name.startsWith("values/"))).toEqual(createValueCases(stubs));
  });
});
