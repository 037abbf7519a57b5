import { plain } from "./marked.ts";
import { order } from "./operators.ts";
import { isText, type Value } from "./values.ts";

/** What a value is sorted or compared by where case does not count. */
export function foldCase(value: Value): Value {
  return isText(value) ? plain(value).toLowerCase() : value;
}

/** In order of their keys; those with equal keys stay as they were, also where the order is turned. */
export function sortBy<Item>(items: readonly Item[], key: (item: Item) => Value, isTurned: boolean): Item[] {
  const keyed = items.map((item) => ({ item, key: key(item) }));
  keyed.sort((left, right) => (isTurned ? order(right.key, left.key) : order(left.key, right.key)));
  return keyed.map(({ item }) => item);
}
