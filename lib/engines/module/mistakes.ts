import type { Engine, EngineCard } from "../engine.ts";
import type { TextEngine } from "./text-engine.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Whether a module's export is meant as an engine of text. */
export function isTextEngine(value: unknown): value is TextEngine {
  return isFields(value) && typeof value.generate === "function";
}

/** What is wrong with an engine of text that a user wrote, in words; undefined when nothing is. */
export function mistakeInText(engine: TextEngine): string | undefined {
  const { name, software, contextTokens, maxRunning } = engine as Readonly<Partial<Record<keyof TextEngine, unknown>>>;
  if (typeof name !== "string" || name.length === 0 || name.length > 128) {
    return "the name of its engine is not a text of 1 to 128 characters";
  }
  if (software !== undefined && !isSoftware(software)) return "its software is not { name, version } of two texts";
  if (contextTokens !== undefined && !isCount(contextTokens)) return "its contextTokens is not a whole number from 1";
  if (maxRunning !== undefined && !isCount(maxRunning)) return "its maxRunning is not a whole number from 1";
  const functions = ["countTokens", "open", "close"] as const;
  const wrong = functions.find((each) => engine[each] !== undefined && typeof engine[each] !== "function");
  return wrong && `its ${wrong} is not a function`;
}

/** What each field of a card is, where it matters to whoever reads it. */
const CARD: Readonly<Partial<Record<keyof EngineCard, (value: unknown) => boolean>>> = {
  engine: isWord,
  software: isSoftware,
  model: isWord,
  input: (value) => value === "tokens" || value === "text",
  capabilities: (value) => isFields(value) && isFields(value.missing),
  hashScheme: (value) => typeof value === "string",
  quantization: (value) => typeof value === "string",
  modelDigest: (value) => value instanceof Uint8Array,
  deterministic: isWord,
  defaultSampling: isFields,
  artifacts: Array.isArray,
  facts: Array.isArray,
  contextTokens: isSize,
  blockTokens: isSize,
  reuseTokens: isSize,
  totalBlocks: isSize,
  maxRunningRequests: isSize,
  maxWaitingRequests: isSize,
};

const CORE = ["listen", "submit", "cancel", "close"] as const satisfies readonly (keyof Engine)[];

/** What is wrong with an engine that a user's module opened, in words; undefined when nothing is. */
export function mistakeInEngine(engine: unknown): string | undefined {
  if (!isFields(engine)) return "what it opened is no engine: an object with card, listen, submit, cancel and close";
  const missing = CORE.find((name) => typeof engine[name] !== "function");
  if (missing !== undefined) return `its engine has no function ${missing}`;
  const { card } = engine;
  if (!isFields(card)) return "its engine has no card: `plainCard` of stator/engine makes one";
  const wrong = Object.entries(CARD).find(([name, fits]) => !fits(card[name]));
  return (
    wrong &&
    `the field ${wrong[0]} of its card is missing or not what it should be: \`plainCard\` of stator/engine makes a whole card`
  );
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isWord(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function isSoftware(value: unknown): boolean {
  return isFields(value) && typeof value.name === "string" && typeof value.version === "string";
}

function isSize(value: unknown): boolean {
  return value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}
