import { plain } from "./marked.ts";
import { Float, fault, isText, typeName, type Value } from "./values.ts";

/** A number as Python has it: an int of any size, or a float. */
export type Int = number | bigint;

/** Whether a value is an int; Python counts truth values among them. */
export function isInt(value: Value): value is Int | boolean {
  return (
    typeof value === "bigint" || typeof value === "boolean" || (typeof value === "number" && Number.isInteger(value))
  );
}

/** Whether a value is a float. */
export function isFloat(value: Value): value is number | Float {
  return value instanceof Float || (typeof value === "number" && !Number.isInteger(value));
}

/** Whether a value is a number of any kind. */
export function isNumber(value: Value): value is Int | boolean | Float {
  return isInt(value) || isFloat(value);
}

/** A float as a value. */
export function float(value: number): Value {
  return Number.isInteger(value) ? new Float(value) : value;
}

/** An int as a value. */
export function int(value: Int): Int {
  if (typeof value === "number") return Object.is(value, -0) ? 0 : value;
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** A number for arithmetic in doubles. */
export function double(value: Int | boolean | Float): number {
  return value instanceof Float ? value.value : Number(value);
}

/** A whole number that fits, for indices and widths. */
export function index(value: Value, what: string): number {
  if (isInt(value) && Number.isSafeInteger(Number(value))) return Number(value);
  return fault(`${what} must be an integer, not ${typeName(value)}`);
}

/** Arithmetic of Python by its sign; undefined where the operands are no numbers. */
export function calculate(sign: string, left: Value, right: Value): Value | undefined {
  if (!isNumber(left) || !isNumber(right)) return undefined;
  if (isInt(left) && isInt(right)) return ofInts(sign, left, right);
  return ofFloats(sign, double(left), double(right));
}

function ofInts(sign: string, left: Int | boolean, right: Int | boolean): Value {
  const [a, b] = [Number(left), Number(right)];
  if ((sign === "/" || sign === "//" || sign === "%") && b === 0) fault("division by zero");
  if (sign === "/")
    return float(Number.isSafeInteger(a) && Number.isSafeInteger(b) ? a / b : divide(BigInt(left), BigInt(right)));
  if (sign === "**") return power(left, right);
  const fits = Number.isSafeInteger(a) && Number.isSafeInteger(b);
  const result = small(sign, a, b);
  if (fits && Number.isSafeInteger(result)) return int(result);
  return int(large(sign, BigInt(left), BigInt(right)));
}

/** The double next to a quotient of integers of any size, by a quotient of more bits than a double has. */
function divide(left: bigint, right: bigint): number {
  const bits = (value: bigint): number => (value < 0n ? -value : value).toString(2).length;
  const shift = Math.max(0, 66 - bits(left) + bits(right));
  const scaled = left << BigInt(shift);
  const whole = scaled / right;
  // What is left over breaks a tie.
  const sticky = scaled % right === 0n ? 0n : left < 0n === right < 0n ? 1n : -1n;
  return Number((whole << 1n) + sticky) / 2 ** (shift + 1);
}

function small(sign: string, a: number, b: number): number {
  if (sign === "+") return a + b;
  if (sign === "-") return a - b;
  if (sign === "*") return a * b;
  // The sign of what is left over is that of the divisor.
  const rest = ((a % b) + b) % b;
  return sign === "%" ? rest : (a - rest) / b;
}

function large(sign: string, a: bigint, b: bigint): bigint {
  if (sign === "+") return a + b;
  if (sign === "-") return a - b;
  if (sign === "*") return a * b;
  const rest = ((a % b) + b) % b;
  return sign === "%" ? rest : (a - rest) / b;
}

/** Bits of an int beyond which no power is computed. */
const MOST_BITS = 4096;

function power(left: Int | boolean, right: Int | boolean): Value {
  const exponent = Number(right);
  const base = Number(left);
  if (exponent >= 0 && Math.abs(base) <= 1)
    return base < 0 && BigInt(right) % 2n === 0n ? 1 : exponent === 0 ? 1 : base;
  if (base === 0 && exponent < 0) fault("0.0 cannot be raised to a negative power");
  if (exponent < 0) return float(Number(left) ** exponent);
  if (Math.log2(Math.abs(Number(left)) + 1) * exponent > MOST_BITS) fault("a power is too large");
  return int(BigInt(left) ** BigInt(right));
}

function ofFloats(sign: string, a: number, b: number): Value {
  if ((sign === "/" || sign === "//" || sign === "%") && b === 0) fault("float division by zero");
  switch (sign) {
    case "+":
      return float(a + b);
    case "-":
      return float(a - b);
    case "*":
      return float(a * b);
    case "/":
      return float(a / b);
    case "//":
      return float(Math.floor(a / b));
    case "%":
      return float(a - Math.floor(a / b) * b);
    default:
      return float(a ** b);
  }
}

/** The digits of every script as those of ours. */
function westernDigits(text: string): string {
  return text.replace(/[^\P{Nd}0-9]/gu, (digit) => {
    const code = digit.codePointAt(0)!;
    // Styled digits stand five times ten in a row; all others alone.
    if (code >= 0x1d7ce && code <= 0x1d7ff) return String((code - 0x1d7ce) % 10);
    let zero = code;
    while (code - zero < 9 && /\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
    return String(code - zero);
  });
}

/** Python's `int` of a string in a base, of a float, or of an int; undefined where Python refuses it. */
export function toInt(value: Value, base = 10): Int | undefined {
  if (isInt(value)) return int(typeof value === "boolean" ? Number(value) : value);
  if (isFloat(value)) {
    const whole = Math.trunc(double(value));
    return Number.isFinite(whole) ? int(BigInt(whole)) : undefined;
  }
  if (!isText(value)) return undefined;
  const text = westernDigits(plain(value)).trim().toLowerCase();
  const found = /^([+-]?)(0[xob])?((?:_?[\da-z])+)$/.exec(text);
  if (!found) return undefined;
  const [, sign, prefix, digits = ""] = found;
  const prefixed = prefix === undefined ? base : { "0x": 16, "0o": 8, "0b": 2 }[prefix];
  if (prefixed === undefined || (prefix !== undefined && base !== prefixed && base !== 0)) return undefined;
  return parseDigits(digits.replaceAll("_", ""), prefixed === 0 ? 10 : prefixed, sign === "-");
}

function parseDigits(digits: string, base: number, isNegative: boolean): Int | undefined {
  let total = 0n;
  for (const digit of digits) {
    const value = Number.parseInt(digit, 36);
    if (value >= base) return undefined;
    total = total * BigInt(base) + BigInt(value);
  }
  return int(isNegative ? -total : total);
}

/** Python's `float` of a number or a string; undefined where Python refuses it. */
export function toFloat(value: Value): number | undefined {
  if (isNumber(value)) return double(value);
  if (!isText(value)) return undefined;
  const text = westernDigits(plain(value)).trim().toLowerCase();
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(text);
  if (special) return special[2] === "nan" ? Number.NaN : special[1] === "-" ? -Infinity : Infinity;
  const number = /^[+-]?(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:e[+-]?\d+)?$/;
  return number.test(text) ? Number(text.replaceAll("_", "")) : undefined;
}

/** `value` with `digits` decimals, halves to the even neighbour, as Python rounds. */
export function fixed(value: number, digits: number): string {
  const text = value.toFixed(digits);
  // All decimals of a double fit into a hundred or it is nowhere near a half.
  const exact = value.toFixed(Math.min(100, digits + 60));
  const dot = exact.indexOf(".");
  if (dot < 0 || !/^50*$/.test(exact.slice(dot + 1 + digits))) return text;
  const down = exact.slice(0, digits === 0 ? dot : dot + 1 + digits);
  return Number(down.at(-1)) % 2 === 0 ? down : text;
}
