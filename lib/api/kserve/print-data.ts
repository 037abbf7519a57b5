import { isUtf8 } from "node:buffer";
import { StatorError } from "#lib/base/errors";
import { jsonText } from "../json-members.ts";
import type { Datatype } from "./datatypes.ts";
import { type Numbers, numbersOf } from "./numbers.ts";
import { bytesElements, printName, type Tensor } from "./tensor.ts";

/**
 * The elements of a tensor as a flat list of JSON; a number that JSON does not have is null. Throws UNSUPPORTED_FEATURE for
 * an element of BYTES that is no UTF-8.
 */
export function printData(tensor: Tensor): string {
  const { name, datatype } = tensor;
  if (datatype === "BYTES")
    return `[${bytesElements(tensor)
      .map((text) => printText(name, text))
      .join(",")}]`;
  return printNumbers(numbersOf(tensor), PRINT[datatype] ?? String);
}

/** How an element is written, where that is not as the language does. Nine significant digits give back the same f32. */
const PRINT: Readonly<Partial<Record<Datatype, (value: number | bigint) => string>>> = {
  BOOL: (value) => (Number(value) === 0 ? "false" : "true"),
  FP64: (value) => (Number.isFinite(value) ? String(value) : "null"),
  FP32: printFloat,
  FP16: printFloat,
  BF16: printFloat,
};

function printFloat(value: number | bigint): string {
  return Number.isFinite(value) ? String(Number(Number(value).toPrecision(9))) : "null";
}

/** By hand: a list of printed elements would be twice as long in memory as the text. */
function printNumbers(numbers: Numbers, print: (value: number | bigint) => string): string {
  let out = "[";
  for (let at = 0; at < numbers.length; at++) out += at > 0 ? `,${print(numbers[at]!)}` : print(numbers[at]!);
  return `${out}]`;
}

function printText(name: string, text: Uint8Array): string {
  if (isUtf8(text)) return JSON.stringify(jsonText(text));
  const detail = "it holds bytes that are no UTF-8; ask for it with binary_data";
  throw new StatorError("UNSUPPORTED_FEATURE", { feature: `The output ${printName(name)} as JSON`, detail });
}
