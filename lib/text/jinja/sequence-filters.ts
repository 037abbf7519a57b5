import { bind, flag, indexOr, needed, text } from "./args.ts";
import { keyName } from "./key-name.ts";
import { plain } from "./marked.ts";
import { equal, iterate, operate, order, truth } from "./operators.ts";
import { attributeAt } from "./path.ts";
import { foldCase, sortBy } from "./sort.ts";
import { type Args, type Filter, fault, Iter, isText, Tuple, Undefined, type Value } from "./values.ts";

/** Goes through what is given, and pays for it. */
function each(value: Value, { run }: Args): readonly Value[] {
  const items = iterate(value);
  run.spend(items.length);
  return items;
}

/** What `key` of a filter reads from an item: an attribute by its path, or the item. */
function keyOf(path: Value | undefined, isExact: boolean): (item: Value) => Value {
  const read = (item: Value): Value => (path === undefined || path === null ? item : attributeAt(item, path));
  return isExact ? read : (item) => foldCase(read(item));
}

function sorted(value: Value, args: Args): Value {
  const { reverse, case_sensitive: exact, attribute } = bind("sort", args, ["reverse", "case_sensitive", "attribute"]);
  const paths = attribute !== undefined && isText(attribute) ? plain(attribute).split(",") : [attribute];
  const keys = paths.map((path) => keyOf(path, flag(exact)));
  return sortBy(each(value, args), (item) => new Tuple(keys.map((key) => key(item))), flag(reverse));
}

function extreme(sign: 1 | -1): Filter {
  return (value, args) => {
    const { case_sensitive: exact, attribute } = bind("min", args, ["case_sensitive", "attribute"]);
    const key = keyOf(attribute, flag(exact));
    const [first, ...rest] = each(value, args);
    if (first === undefined) return new Undefined("No aggregated item, sequence was empty.");
    return rest.reduce((best, item) => (order(key(item), key(best)) * sign < 0 ? item : best), first);
  };
}

function unique(value: Value, args: Args): Value {
  const { case_sensitive: exact, attribute } = bind("unique", args, ["case_sensitive", "attribute"]);
  const key = keyOf(attribute, flag(exact));
  const seen = new Set<unknown>();
  return new Iter(
    each(value, args).filter((item) => {
      const name = keyName(key(item));
      if (seen.has(name)) return false;
      seen.add(name);
      return true;
    }),
  );
}

function grouped(value: Value, args: Args): Value {
  const given = bind("groupby", args, ["attribute", "default", "case_sensitive"]);
  const path = needed(given.attribute, "the attribute");
  const read = (item: Value): Value => {
    const found = attributeAt(item, path);
    return found instanceof Undefined && given.default !== undefined ? given.default : found;
  };
  const fold = (item: Value): Value => (flag(given.case_sensitive) ? read(item) : foldCase(read(item)));
  const groups: { key: Value; first: Value; items: Value[] }[] = [];
  for (const item of sortBy(each(value, args), fold, false)) {
    const last = groups.at(-1);
    if (last && equal(last.key, fold(item))) last.items.push(item);
    else groups.push({ key: fold(item), first: read(item), items: [item] });
  }
  return groups.map(({ first, items }) => new Tuple([first, items]));
}

function batched(value: Value, args: Args): Value {
  const { linecount, fill_with: fill = null } = bind("batch", args, ["linecount", "fill_with"]);
  const size = indexOr(linecount, 0, "the size of a batch");
  const items = each(value, args);
  const batches: Value[][] = [];
  for (let at = 0; at < items.length; at += Math.max(1, size)) batches.push(items.slice(at, at + Math.max(1, size)));
  const last = batches.at(-1);
  if (fill !== null && last) while (last.length < size) last.push(fill);
  return new Iter(batches);
}

function sliced(value: Value, args: Args): Value {
  const { slices, fill_with: fill = null } = bind("slice", args, ["slices", "fill_with"]);
  const count = indexOr(slices, 0, "the number of slices");
  if (count <= 0) fault("the number of slices must be positive");
  const items = each(value, args);
  args.run.spend(count);
  const usual = Math.floor(items.length / count);
  const longer = items.length % count;
  const made = Array.from({ length: count }, (_, at) => {
    const start = at * usual + Math.min(at, longer);
    const piece = items.slice(start, start + usual + (at < longer ? 1 : 0));
    return fill !== null && at >= longer ? [...piece, fill] : piece;
  });
  return new Iter(made);
}

function sum(value: Value, args: Args): Value {
  const { attribute, start = 0 } = bind("sum", args, ["attribute", "start"]);
  const key = keyOf(attribute, true);
  return each(value, args).reduce<Value>((total, item) => operate(args.run, "+", total, key(item)), start);
}

/** What each item becomes: an attribute of it, or what a filter makes of it. */
function mapped(value: Value, args: Args): Value {
  const { values, named, run } = args;
  if (!truth(value)) return new Iter([]);
  const path = named?.get("attribute");
  const items = each(value, args);
  if (values.length === 0 && path !== undefined) {
    const other = named?.get("default");
    return new Iter(
      items.map((item) => {
        const found = attributeAt(item, path);
        return found instanceof Undefined && other !== undefined ? other : found;
      }),
    );
  }
  const name = plain(text(values[0], "the filter's name"));
  const filter = Object.hasOwn(run.names.filters, name) ? run.names.filters[name] : undefined;
  if (!filter) return fault(`there is no filter ${name}`);
  return new Iter(items.map((item) => filter(item, { run, values: values.slice(1), named })));
}

/** Items that pass a test, or those that fail it; of an attribute where `byAttribute`. */
function selected(passes: boolean, byAttribute: boolean): Filter {
  return (value, args) => {
    const { values, named, run } = args;
    if (!truth(value)) return new Iter([]);
    const path = byAttribute ? needed(values[0], "the attribute") : undefined;
    const [name, ...rest] = byAttribute ? values.slice(1) : values;
    const test = name === undefined ? truth : testOf(name, { run, values: rest, named });
    return new Iter(
      each(value, args).filter((item) => test(path === undefined ? item : attributeAt(item, path)) === passes),
    );
  };
}

function testOf(given: Value, args: Args): (value: Value) => boolean {
  const name = plain(text(given, "the test's name"));
  const { tests } = args.run.names;
  const test = Object.hasOwn(tests, name) ? tests[name] : undefined;
  if (!test) return fault(`there is no test ${name}`);
  return (value) => test(value, args);
}

/** Filters over items, by name. */
export const SEQUENCE_FILTERS: Readonly<Record<string, Filter>> = {
  batch: batched,
  groupby: grouped,
  map: mapped,
  max: extreme(-1),
  min: extreme(1),
  reject: selected(false, false),
  rejectattr: selected(false, true),
  select: selected(true, false),
  selectattr: selected(true, true),
  slice: sliced,
  sort: sorted,
  sum,
  unique,
};
