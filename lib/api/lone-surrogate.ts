/** A value of a body on the way to its strings. */
interface Place {
  readonly value: unknown;
  /** Its name or its number in what holds it. */
  readonly key: string | number;
  readonly holder: Place | undefined;
}

/**
 * Where a parsed body first has a string that is no text, such as `messages[0].content`: half of a pair of UTF-16 units,
 * which only escapes can write (`"\ud83d"`). Undefined where all strings are text. The name of a member counts as part of
 * what holds it. `json` is what was parsed; a body without such escapes costs one search of it.
 */
export function findLoneSurrogate(body: unknown, json: string): string | undefined {
  if (!json.includes("\\ud") && !json.includes("\\uD")) return undefined;
  // A body may be nested deeper than calls can be.
  const waiting: Place[] = [{ value: body, key: "", holder: undefined }];
  for (let place = waiting.pop(); place; place = waiting.pop()) {
    const { value } = place;
    if (typeof value === "string" && !value.isWellFormed()) return pathOf(place);
    if (typeof value !== "object" || value === null) continue;
    const held: Place[] = [];
    for (const [key, each] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
      if (typeof key === "string" && !key.isWellFormed()) return pathOf(place);
      held.push({ value: each, key, holder: place });
    }
    for (let at = held.length - 1; at >= 0; at--) waiting.push(held[at]!);
  }
  return undefined;
}

function pathOf(place: Place): string {
  const keys: string[] = [];
  for (let each: Place | undefined = place; each?.holder; each = each.holder) {
    keys.push(typeof each.key === "number" ? `[${each.key}]` : `.${each.key}`);
  }
  return keys.reverse().join("").replace(/^\./, "");
}
