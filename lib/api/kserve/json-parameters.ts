import type { InferParameter } from "#gen/inference/infer_pb";
import { restoreSeed } from "../exact-seed.ts";
import { parseBody } from "../json-body.ts";
import type { JsonBounds } from "../json-bounds.ts";
import { jsonText } from "../json-members.ts";
import { createParameter } from "./parameters.ts";

/** Parses a body as `parseBody` does, with the digits of a seed among its parameters. */
export function parseWithSeed(bytes: Uint8Array, bounds: JsonBounds | undefined): unknown {
  const parsed = parseBody(bytes, bounds);
  if (typeof parsed === "object" && parsed !== null && "parameters" in parsed) {
    restoreSeed(parsed.parameters, jsonText(bytes));
  }
  return parsed;
}

/** A parameter as a body has it: a whole number beyond 2^53 is a bigint. */
export type JsonParameter = boolean | number | bigint | string;

/** Parameters as messages have them, but for some. */
export function readJsonParameters(
  said: Readonly<Record<string, JsonParameter>> | null | undefined,
  but: readonly string[] = [],
): Record<string, InferParameter> {
  const entries = Object.entries(said ?? {}).filter(([name]) => !but.includes(name));
  return Object.fromEntries(entries.map(([name, value]) => [name, createParameter(value)]));
}
