import type { RuleBook } from "./rules.ts";

/** What an array holds. */
export interface ArrayShape {
  /** Expressions of its first items, one for each place. */
  readonly prefix: readonly string[];
  /** Expression of all other items; undefined: none beyond the prefix. */
  readonly items: string | undefined;
  /** Least number of items, those of the prefix counted. */
  readonly min: number;
  /** Most items, those of the prefix counted; undefined: no bound. */
  readonly max: number | undefined;
}

/** Expression of an array; undefined when its bounds leave none. */
export function arrayExpression(rules: RuleBook, shape: ArrayShape): string | undefined {
  const ws = rules.shared("ws");
  const places = shape.items === undefined ? shape.prefix.length : Number.POSITIVE_INFINITY;
  const max = Math.min(shape.max ?? Number.POSITIVE_INFINITY, places);
  if (shape.min > max) return undefined;
  const body = itemsFrom(rules, shape, 0, max);
  if (body === undefined) return rules.add(`"[" ${ws} "]"`);
  return rules.add(shape.min > 0 ? `"[" ${ws} ${body} ${ws} "]"` : `"[" ${ws} ( ${body} ${ws} )? "]"`);
}

/** Items from place `at` on, at least one; undefined where no more may come. */
function itemsFrom(rules: RuleBook, shape: ArrayShape, at: number, max: number): string | undefined {
  if (at >= max) return undefined;
  const ws = rules.shared("ws");
  const item = shape.prefix[at] ?? shape.items;
  if (item === undefined) return undefined;
  if (at < shape.prefix.length) {
    const rest = itemsFrom(rules, shape, at + 1, max);
    if (rest === undefined) return item;
    const more = `"," ${ws} ${rest}`;
    return rules.add(shape.min > at + 1 ? `${item} ${more}` : `${item} ( ${more} )?`);
  }
  const more = rules.add(`"," ${ws} ${item}`);
  const most = max === Number.POSITIVE_INFINITY ? undefined : max - at - 1;
  return `${item} ${rules.repeat(more, Math.max(0, shape.min - at - 1), most)}`;
}
