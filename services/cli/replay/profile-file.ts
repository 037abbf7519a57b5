import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { TimePriorSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import { NO_TIME, parseTimePrior } from "#lib/perf/time-prior";
import { PROFILES, type Profile, TRANSFER } from "#lib/simulation/replay/profile";

const { passTokens, ...NO_PARTS } = NO_TIME;
/** What a file does not say: nothing takes time, and passes and sequences are as in the profiles that are here by name. */
const USUAL = {
  ...NO_PARTS,
  ...{
    passTokens: 8_192,
    maxRunning: 256,
    kvTokenBytes: TRANSFER.tokenBytes,
    kvBytesPerSecond: TRANSFER.bytesPerSecond,
  },
} as const;

/** The profile of a name, or of a JSON file: an object with fields of TimePrior, maxRunning and how KV moves. Throws BAD_CONFIG with what is wrong. */
export function readProfile(nameOrFile: string): Profile {
  if (Object.hasOwn(PROFILES, nameOrFile)) return PROFILES[nameOrFile as keyof typeof PROFILES];
  const given = readJson(nameOrFile);
  const wrong = (detail: string) => new StatorError("BAD_CONFIG", { detail: `${nameOrFile}: ${detail}` });
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(USUAL, name));
  if (unknown.length > 0) {
    const hint = nearest(unknown[0]!, Object.keys(USUAL));
    const known = `A profile has ${Object.keys(USUAL).join(", ")}.`;
    throw wrong(`${unknown.join(", ")} is no field of a profile.${hint ? ` Did you mean ${hint}?` : ` ${known}`}`);
  }
  const bad = Object.entries(given).find(([, value]) => typeof value !== "number" || !Number.isFinite(value));
  if (bad) throw wrong(`${bad[0]} is no number.`);
  const {
    maxRunning,
    kvTokenBytes: tokenBytes,
    kvBytesPerSecond: bytesPerSecond,
    ...parts
  } = { ...USUAL, ...(given as Partial<typeof USUAL>) };
  if (!isCount(maxRunning)) throw wrong("maxRunning is a whole number from 1 on.");
  if (!isCount(parts.passTokens)) throw wrong("passTokens is a whole number from 1 on.");
  if (!isCount(tokenBytes)) throw wrong("kvTokenBytes is a whole number from 1 on.");
  if (!(bytesPerSecond >= 1)) throw wrong("kvBytesPerSecond is a number from 1 on.");
  const times = parseTimePrior(create(TimePriorSchema, parts));
  if (!times) throw wrong("passes would take less than no time, or more than eleven days.");
  if (times.passMs + times.prefillMs + times.prefillTokenMs + times.prefillContextMs + times.prefillSquareMs === 0) {
    throw wrong("prompts would take no time. Say prefillTokenMs, at least.");
  }
  const { $typeName: _, ...plain } = times as typeof times & { readonly $typeName?: string };
  const isSaid = "kvTokenBytes" in given || "kvBytesPerSecond" in given;
  return { times: plain, maxRunning, ...(isSaid && { transfer: { tokenBytes, bytesPerSecond } }) };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1 && value < 2 ** 31;
}

function readJson(path: string): Readonly<Record<string, unknown>> {
  const known = Object.keys(PROFILES).join(", ");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    const detail = `There is no profile ${path}, and no file of that name that can be read. By name there are ${known}.`;
    throw new StatorError("BAD_CONFIG", { detail }, { cause: error });
  }
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new StatorError("BAD_CONFIG", { detail: `${path} is no JSON.` }, { cause: error });
  }
  if (typeof given === "object" && given !== null && !Array.isArray(given)) return given as Record<string, unknown>;
  throw new StatorError("BAD_CONFIG", { detail: `${path} is no JSON object with what a pass takes.` });
}
