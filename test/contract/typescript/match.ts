/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** What a case saved, by its names. */
export type Saved = Map<string, Json>;

type Place = { readonly value: Json | undefined; readonly saved: Saved };

/** Libraries print a float with as many digits as they like: numbers this close, as a share, are equal. */
const CLOSE = 1e-7;

const MATCHERS: Readonly<Record<string, (given: Json, place: Place) => boolean>> = {
  $equal: (given, { value }) => equal(given, value),
  $not: (given, { value }) => value !== undefined && !equal(given, value),
  $present: (_, { value }) => value !== undefined,
  $absent: (_, { value }) => value === undefined,
  $count: (given, { value }) => value !== undefined && Object.keys(Object(value)).length === given,
  $bytes: (given, { value }) => value !== undefined && Buffer.from(String(value), "base64").length === given,
  $some: (given, { value, saved }) => Array.isArray(value) && value.some((part) => !mismatch(given, part, saved)),
  $save: (given, { value, saved }) => value !== undefined && saved.set(String(given), value).size > 0,
};

/** Why a value does not match a pattern, with the path to the place; undefined when it does. */
export function mismatch(pattern: Json, value: Json | undefined, saved: Saved, path = "$"): string | undefined {
  const differ = () =>
    `${path}: expected ${JSON.stringify(pattern).slice(0, 400)}, got ${JSON.stringify(value)?.slice(0, 400)}`;
  if (Array.isArray(pattern)) {
    if (!Array.isArray(value) || value.length !== pattern.length) return differ();
    return pattern.map((part, at) => mismatch(part, value[at], saved, `${path}[${at}]`)).find(Boolean);
  }
  if (!isObject(pattern)) return equal(pattern, value) ? undefined : differ();
  const [key = "", given = null] = Object.entries(pattern)[0] ?? [];
  if (key === "$each" && Array.isArray(value)) {
    return value.map((part, at) => mismatch(given, part, saved, `${path}[${at}]`)).find(Boolean);
  }
  if (key.startsWith("$")) return MATCHERS[key]?.(given, { value, saved }) ? undefined : differ();
  if (!isObject(value)) return differ();
  const names = Object.keys(pattern);
  return names.map((name) => mismatch(pattern[name]!, value[name], saved, `${path}.${name}`)).find(Boolean);
}

/** A step with what the case saved, zeros and long texts in their places. */
export function fill(value: Json, saved: Saved): Json {
  if (Array.isArray(value)) return value.map((part) => fill(part, saved));
  if (!isObject(value)) return value;
  if (value.$zeros !== undefined) return Buffer.alloc(Number(value.$zeros)).toString("base64");
  if (value.$text !== undefined) return "a".repeat(Number(value.$text));
  if (value.$var !== undefined) return saved.get(String(value.$var)) ?? null;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, fill(part, saved)]));
}

/** The values at a path of names with dots between them, in order; a list on the way stands for all its parts. */
export function valuesAt(value: Json, path: string): Json[] {
  let found: (Json | undefined)[] = [value];
  for (const name of path.split(".")) found = found.flat().map((part) => (isObject(part) ? part[name] : undefined));
  return found.flat().filter((part) => part !== undefined) as Json[];
}

function equal(one: Json | undefined, other: Json | undefined): boolean {
  if (typeof one === "number" && typeof other === "number") {
    return Math.abs(one - other) <= CLOSE * Math.max(Math.abs(one), Math.abs(other));
  }
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((part, at) => equal(part, other[at]));
  }
  if (!isObject(one) || !isObject(other)) return one === other;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => equal(one[name], other[name]));
}

function isObject(value: Json | undefined): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
