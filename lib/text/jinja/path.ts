import { item } from "./access.ts";
import { plain } from "./marked.ts";
import { isText, type Value } from "./values.ts";

/** An attribute by a path such as `function.name`; numbers in it are places. */
export function attributeAt(value: Value, path: Value): Value {
  if (!isText(path)) return item(value, path);
  return plain(path)
    .split(".")
    .reduce<Value>((at, part) => item(at, /^\d+$/.test(part) ? Number(part) : part), value);
}
