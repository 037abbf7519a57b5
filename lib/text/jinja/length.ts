import { textLength } from "./text-length.ts";
import { Dict, fault, isList, isText, Range, Tuple, typeName, Undefined, type Value, View } from "./values.ts";

/** Python's `len`. */
export function lengthOf(value: Value): number {
  if (isText(value)) return textLength(value);
  if (isList(value)) return value.length;
  if (value instanceof Tuple || value instanceof View) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  return value instanceof Undefined ? 0 : fault(`object of type '${typeName(value)}' has no len()`);
}
