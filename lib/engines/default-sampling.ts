import {
  type DefaultSampling,
  describeRange,
  fitsRange,
  SAMPLING_RANGES,
  type SaidSampling,
  type SamplingSetting,
} from "#lib/base/sampling";
import type { Log } from "#lib/host/log";
import { type GgufHeader, ggufNumber } from "#lib/text/gguf";

/** Where a model file says how its tokens are best drawn, as llama.cpp's converter writes it. */
const FILE_KEYS = {
  "general.sampling.temp": "temperature",
  "general.sampling.top_k": "top_k",
  "general.sampling.top_p": "top_p",
  "general.sampling.min_p": "min_p",
  "general.sampling.penalty_repeat": "repetition_penalty",
} as const satisfies Readonly<Record<string, SamplingSetting>>;

/** Digits that an f32 keeps: 0.7 in a file is 0.7, not 0.699999988. */
const F32_DIGITS = 7;

/**
 * How a model draws for requests that do not say: what its file says, and before that what an operator said. A value of
 * the file that no request might have is left out with a line in the log.
 */
export function readDefaultSampling(header: GgufHeader, said: SaidSampling | undefined, log: Log): DefaultSampling {
  if (said?.alone) return said.values;
  const values: { [Name in SamplingSetting]?: number } = {};
  for (const [key, name] of Object.entries(FILE_KEYS)) {
    const value = ggufNumber(header, key);
    if (value === undefined) continue;
    const rounded = Number(value.toPrecision(F32_DIGITS));
    if (fitsRange(SAMPLING_RANGES[name], rounded)) values[name] = rounded;
    else
      log.warn("a sampling default of the model file is left out", {
        key,
        value,
        expected: describeRange(SAMPLING_RANGES[name]),
      });
  }
  return { ...values, ...said?.values };
}
