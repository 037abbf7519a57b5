/** What values a setting may have; the bounds belong to the range, `above` does not. */
export interface SettingRange {
  readonly is: "number" | "integer";
  readonly least?: number;
  readonly above?: number;
  readonly most: number;
}

/** What says how tokens are drawn, by its name in the API, with the range of its values. Nobody else decides one. */
export const SAMPLING_RANGES = {
  temperature: { is: "number", least: 0, most: 2 },
  top_k: { is: "integer", least: -1, most: 2_147_483_647 },
  top_p: { is: "number", above: 0, most: 1 },
  min_p: { is: "number", least: 0, most: 1 },
  repetition_penalty: { is: "number", above: 0, most: 2 },
  frequency_penalty: { is: "number", least: -2, most: 2 },
  presence_penalty: { is: "number", least: -2, most: 2 },
} as const satisfies Readonly<Record<string, SettingRange>>;

/** A name of {@link SAMPLING_RANGES}. */
export type SamplingSetting = keyof typeof SAMPLING_RANGES;

/** A model's own values, for requests that name none. Where it has none either the API's default counts. */
export type DefaultSampling = { readonly [Name in SamplingSetting]?: number };

/** Whether a name is one of the settings. */
export function isSamplingSetting(name: string): name is SamplingSetting {
  return Object.hasOwn(SAMPLING_RANGES, name);
}

/** Whether a value lies in the range of its setting. NaN lies in none. */
export function fitsSetting(name: SamplingSetting, value: number): boolean {
  const { is, least, above, most }: SettingRange = SAMPLING_RANGES[name];
  if (is === "integer" && !Number.isInteger(value)) return false;
  return value <= most && (above === undefined ? value >= (least ?? value) : value > above);
}

/** A range in words, such as `0 to 2`. */
export function describeSetting(name: SamplingSetting): string {
  const { least, above, most }: SettingRange = SAMPLING_RANGES[name];
  return above === undefined ? `${least} to ${most}` : `above ${above}, at most ${most}`;
}

/** What a list such as `temperature=0.7,top_p=0.9` says. */
export interface SaidSampling {
  /** The word `none` is in it: what the model's file says does not count. */
  readonly alone: boolean;
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
    if (!fitsSetting(name, number)) return { expected: `for ${name} a value ${describeSetting(name)}` };
    values[name] = number;
  }
  return { alone: parts.includes("none"), values };
}

const NAMES = Object.keys(SAMPLING_RANGES).join(", ");
