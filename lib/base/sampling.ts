/** What values a number may have; the bounds belong to the range, `above` does not. */
export interface NumberRange {
  /** Whether fractions are allowed. */
  readonly is: "number" | "integer";
  /** The smallest value; without it and `above` there is none. */
  readonly least?: number;
  /** Every value is larger than this one. */
  readonly above?: number;
  /** The largest value. */
  readonly most: number;
}

const MOST_U32 = 4_294_967_295;

/** What says how tokens are drawn, by its name in the API, with the range of its values. Nobody else decides one. */
export const SAMPLING_RANGES = {
  temperature: { is: "number", least: 0, most: 2 },
  top_k: { is: "integer", least: -1, most: 2_147_483_647 },
  top_p: { is: "number", above: 0, most: 1 },
  min_p: { is: "number", least: 0, most: 1 },
  repetition_penalty: { is: "number", above: 0, most: 2 },
  frequency_penalty: { is: "number", least: -2, most: 2 },
  presence_penalty: { is: "number", least: -2, most: 2 },
} as const satisfies Readonly<Record<string, NumberRange>>;

/** What else says what is drawn and when it ends, which a model has no default for. */
export const ANSWER_RANGES = {
  /** Sequences of one request, over all its prompts. */
  choices: { is: "integer", least: 1, most: 128 },
  max_tokens: { is: "integer", least: 1, most: MOST_U32 },
  min_tokens: { is: "integer", least: 0, most: MOST_U32 },
  /** A token id, whatever the vocabulary. */
  token: { is: "integer", least: 0, most: MOST_U32 },
  /** What is added to the logit of a token. */
  bias: { is: "number", least: -100, most: 100 },
  top_logprobs: { is: "integer", least: 0, most: 20 },
} as const satisfies Readonly<Record<string, NumberRange>>;

/** Most entries of the lists of one request. */
export const ANSWER_BOUNDS = {
  stopTexts: 32,
  /** UTF-16 units of each. */
  stopTextUnits: 1024,
  stopTokens: 256,
  biasTokens: 1024,
} as const;

/** A name of {@link SAMPLING_RANGES}. */
export type SamplingSetting = keyof typeof SAMPLING_RANGES;

/** A model's own values, for requests that name none. Where it has none either the API's default counts. */
export type DefaultSampling = { readonly [Name in SamplingSetting]?: number };

/** Whether a name is one of the settings. */
export function isSamplingSetting(name: string): name is SamplingSetting {
  return Object.hasOwn(SAMPLING_RANGES, name);
}

/** Whether a value lies in a range. NaN lies in none. */
export function fitsRange({ is, least, above, most }: NumberRange, value: number): boolean {
  if (is === "integer" && !Number.isInteger(value)) return false;
  return value <= most && (above === undefined ? value >= (least ?? value) : value > above);
}

/** A range in words, such as `0 to 2`. */
export function describeRange({ least, above, most }: NumberRange): string {
  return above === undefined ? `${least} to ${most}` : `above ${above}, at most ${most}`;
}

/** What a list such as `temperature=0.7,top_p=0.9` says. */
export interface SaidSampling {
  /** The word `none` is in it: what the model's file says does not count. */
  readonly alone: boolean;
  /** What it names, each within its range. */
  readonly values: DefaultSampling;
}

/** Reads such a list; the problem in a phrase when it says something else. */
export function parseSampling(text: string): SaidSampling | { readonly expected: string } {
  const parts = text.split(",").map((part) => part.trim());
  const values: { [Name in SamplingSetting]?: number } = {};
  for (const part of parts) {
    if (part === "none") continue;
    const [name = "", value = "", ...rest] = part.split("=").map((word) => word.trim());
    if (!isSamplingSetting(name) || rest.length > 0) {
      return { expected: `none, or NAME=VALUE with commas between, the names being ${NAMES}` };
    }
    const number = value === "" ? Number.NaN : Number(value);
    const range = SAMPLING_RANGES[name];
    if (!fitsRange(range, number)) return { expected: `for ${name} a value ${describeRange(range)}` };
    values[name] = number;
  }
  return { alone: parts.includes("none"), values };
}

const NAMES = Object.keys(SAMPLING_RANGES).join(", ");
