import { plain } from "./marked.ts";
import { repr } from "./print.ts";
import { Float, fault, isText, type KeyName, Range, Tuple, typeName, Undefined, type Value } from "./values.ts";

/** A comparable number: an int of any size or a double. */
export function numeric(value: Value): number | bigint | undefined {
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (typeof value === "boolean") return Number(value);
  return value instanceof Float ? value.value : undefined;
}

/** By which name a value is a key. Faults for what has no hash. */
export function keyName(key: Value): KeyName {
  if (typeof key === "string") return key;
  if (isText(key)) return key.text;
  if (key === null) return null;
  const number = numeric(key);
  if (number !== undefined) return number;
  if (key instanceof Tuple)
    return `\u0000(${key.items.map((item) => String(keyName(item))).join("\u0000")})${plain(repr(key))}`;
  if (key instanceof Range || key instanceof Undefined) return `\u0000${typeName(key)}${plain(repr(key))}`;
  return fault(`unhashable type: '${typeName(key)}'`);
}
