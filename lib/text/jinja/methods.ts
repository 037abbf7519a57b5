import { bind, indexOr, needed } from "./args.ts";
import { keyName } from "./key-name.ts";
import { double, isFloat } from "./numbers.ts";
import { equal } from "./operators.ts";
import { Dict, fault, type Method, orElse, Tuple, type Value, View } from "./values.ts";

/** The methods of a dict that change nothing. */
export const MAPPING_METHODS: Readonly<Record<string, Method<Dict>>> = {
  copy: (self) => {
    const copy = new Dict();
    for (const [key, value] of self.items()) copy.set(keyName(key), key, value);
    return copy;
  },
  get: (self, args) => {
    const { key, default: other = null } = bind("get", args, ["key", "default"]);
    return orElse(self.get(keyName(needed(key, "the key"))), () => other);
  },
  items: (self) =>
    new View(
      "dict_items",
      self.items().map((pair) => new Tuple(pair)),
    ),
  keys: (self) => new View("dict_keys", self.keys()),
  values: (self) => new View("dict_values", self.values()),
};

/** The methods of a list that change nothing. */
export const LIST_METHODS: Readonly<Record<string, Method<readonly Value[]>>> = {
  copy: (self) => [...self],
  count: (self, args) => countOf(self, args.values[0]),
  index: (self, args) => placeOf(self, bind("index", args, ["value", "start", "stop"])),
};

/** The methods of a tuple. */
export const TUPLE_METHODS: Readonly<Record<string, Method<Tuple>>> = {
  count: ({ items }, args) => countOf(items, args.values[0]),
  index: ({ items }, args) => placeOf(items, bind("index", args, ["value", "start", "stop"])),
};

/** The methods of a number. */
export const NUMBER_METHODS: Readonly<Record<string, Method<Value>>> = {
  is_integer: (self) => !isFloat(self) || Number.isInteger(double(self)),
};

function countOf(items: readonly Value[], value: Value | undefined): number {
  const wanted = needed(value, "what is counted");
  return items.filter((item) => equal(item, wanted)).length;
}

interface Search {
  readonly value: Value | undefined;
  readonly start: Value | undefined;
  readonly stop: Value | undefined;
}

function placeOf(items: readonly Value[], { value, start, stop }: Search): number {
  const wanted = needed(value, "what is looked for");
  const place = (at: number): number => (at < 0 ? at + items.length : at);
  const from = place(indexOr(start, 0, "a place"));
  const to = place(indexOr(stop, items.length, "a place"));
  const at = items.findIndex((item, index) => index >= from && index < to && equal(item, wanted));
  return at < 0 ? fault("the value is not in the list") : at;
}
