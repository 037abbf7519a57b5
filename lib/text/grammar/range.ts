import { anyOf, type RuleBook } from "./rules.ts";

/** One end of a range of numbers. */
export interface Bound {
  /** May be negative. */
  readonly value: number;
  /** The value itself is outside. */
  readonly exclusive: boolean;
}

/** What a number must lie between. */
export interface Range {
  /** undefined: no bound below. */
  readonly low: Bound | undefined;
  /** undefined: no bound above. */
  readonly high: Bound | undefined;
}

/** Most digits before the point where no bound says more. */
const FREE_DIGITS = 16;

/** Most digits after the point, beyond those of the bounds. */
const FREE_FRACTION = 16;

/** The decimal digits of a number of 0 or more. */
interface Decimal {
  readonly whole: string;
  readonly fraction: string;
}

/** A bound on a magnitude, 0 or more. */
interface Edge extends Decimal {
  readonly exclusive: boolean;
}

function decimalOf(value: number): Decimal {
  const [mantissa = "0", exponent = "0"] = String(value).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const shift = Number(exponent);
  const digits = whole + fraction;
  const point = whole.length + shift;
  const padded = point <= 0 ? "0".repeat(1 - point) + digits : digits.padEnd(point, "0");
  const at = Math.max(1, point);
  return {
    whole: padded.slice(0, at).replace(/^0+(?=\d)/, ""),
    fraction: padded.slice(at).replace(/0+$/, ""),
  };
}

function edgeOf({ value, exclusive }: Bound): Edge {
  return { ...decimalOf(Math.abs(value)), exclusive };
}

/** Compares as numbers do. */
function compare(left: Decimal, right: Decimal): number {
  if (left.whole.length !== right.whole.length) return left.whole.length - right.whole.length;
  const width = Math.max(left.fraction.length, right.fraction.length);
  const one = left.whole + left.fraction.padEnd(width, "0");
  const other = right.whole + right.fraction.padEnd(width, "0");
  return one < other ? -1 : one > other ? 1 : 0;
}

function digits(from: number, to: number): string {
  return from === to ? `"${from}"` : `[${from}-${to}]`;
}

function times(item: string, min: number, max: number): string {
  if (max === 0) return '""';
  return min === max ? (min === 1 ? item : `${item}{${min}}`) : `${item}{${min},${max}}`;
}

/** Magnitudes with exactly as many digits before the point as `length`, digit by digit beside the edges that bind. */
class Walk {
  readonly #rules: RuleBook;
  readonly #low: string;
  readonly #high: string;
  readonly #length: number;
  readonly #lowExclusive: boolean;
  readonly #highExclusive: boolean;
  readonly #integer: boolean;

  constructor(rules: RuleBook, length: number, edges: { low: Edge; high: Edge }, integer: boolean) {
    this.#rules = rules;
    this.#length = length;
    this.#integer = integer;
    this.#low = edges.low.whole + edges.low.fraction;
    this.#high = edges.high.whole + edges.high.fraction;
    this.#lowExclusive = edges.low.exclusive;
    this.#highExclusive = edges.high.exclusive;
  }

  /** What may follow the first `at` digits; a binding edge is one whose digits were met exactly so far. */
  from(at: number, lowBinds: boolean, high: boolean): string | undefined {
    // Once only zeros are left of it, an inclusive lower edge asks for nothing more.
    const low = lowBinds && (this.#lowExclusive || /[1-9]/.test(this.#low.slice(at)));
    if (at > this.#length && !low && !high) return times("[0-9]", 0, FREE_FRACTION);
    const parts: string[] = [];
    if (at >= this.#length && this.#mayEnd(at, low, high)) parts.push('""');
    const onward = at < this.#length ? this.#digit(at, low, high) : this.#fraction(at, low, high);
    if (onward !== undefined) parts.push(onward);
    if (parts.length === 0) return undefined;
    return parts.length === 1 ? parts[0] : this.#rules.add(parts.join(" | "));
  }

  /** Whether the number may be complete here: all digits to come are zeros then. */
  #mayEnd(at: number, low: boolean, high: boolean): boolean {
    const lowRest = /[1-9]/.test(this.#low.slice(at));
    const highRest = /[1-9]/.test(this.#high.slice(at));
    if (low && (lowRest || this.#lowExclusive)) return false;
    return !(high && !highRest && this.#highExclusive);
  }

  #fraction(at: number, low: boolean, high: boolean): string | undefined {
    // Nothing but zeros could follow an upper edge that was met.
    if (this.#integer || (high && !/[1-9]/.test(this.#high.slice(at)))) return undefined;
    if (at > this.#length) return this.#digit(at, low, high);
    const digit = !low && !high ? times("[0-9]", 1, FREE_FRACTION) : this.#digit(at, low, high);
    return digit === undefined ? undefined : `"." ${digit}`;
  }

  /** The next digit and all that follows. */
  #digit(at: number, low: boolean, high: boolean): string | undefined {
    if (at >= this.#length + FREE_FRACTION + Math.max(this.#low.length, this.#high.length)) return undefined;
    const from = low ? Number(this.#low[at] ?? 0) : 0;
    const to = high ? Number(this.#high[at] ?? 0) : 9;
    if (from > to) return undefined;
    const parts: string[] = [];
    const add = (first: number, last: number, lowBinds: boolean, highBinds: boolean) => {
      if (first > last) return;
      const rest = this.from(at + 1, lowBinds, highBinds);
      if (rest !== undefined) parts.push(rest === '""' ? digits(first, last) : `${digits(first, last)} ${rest}`);
    };
    if (low && high && from === to) add(from, to, true, true);
    else {
      if (low) add(from, from, true, false);
      add(low ? from + 1 : from, high ? to - 1 : to, false, false);
      if (high) add(to, to, false, true);
    }
    return parts.length === 0 ? undefined : anyOf(parts);
  }
}

/** Magnitudes between two edges, without a sign; undefined when there are none. */
function magnitudes(rules: RuleBook, low: Edge, high: Edge | undefined, integer: boolean): string | undefined {
  if (high !== undefined && compare(low, high) > 0) return undefined;
  const first = low.whole.length;
  const last = high?.whole.length ?? Math.max(FREE_DIGITS, first + 1);
  const walk = (length: number) => {
    const isLast = high !== undefined && length === last;
    const least = { whole: length === 1 ? "0" : `1${"0".repeat(length - 1)}`, fraction: "", exclusive: false };
    const edges = { low: length === first ? low : least, high: isLast ? high : least };
    return new Walk(rules, length, edges, integer).from(0, true, isLast);
  };
  const parts = [walk(first)];
  const freeTo = high === undefined ? last : last - 1;
  if (freeTo > first) {
    const whole = `[1-9] ${times("[0-9]", first, freeTo - 1)}`;
    parts.push(integer ? whole : `${whole} ( "." [0-9]{1,${FREE_FRACTION}} )?`);
  }
  if (high !== undefined && last > first) parts.push(walk(last));
  const found = parts.filter((part) => part !== undefined);
  return found.length === 0 ? undefined : anyOf(found);
}

const ZERO: Edge = { whole: "0", fraction: "", exclusive: false };

/** An integer range has whole ends that belong to it. Beyond 2^53 every number is whole, and one more may be the same. */
function tighten({ low, high }: Range): Range {
  const isLarge = ({ value }: Bound) => Math.abs(value) >= 2 ** 53;
  const up = (bound: Bound): Bound => {
    if (isLarge(bound)) return bound;
    return { value: bound.exclusive ? Math.floor(bound.value) + 1 : Math.ceil(bound.value), exclusive: false };
  };
  const down = (bound: Bound): Bound => {
    if (isLarge(bound)) return bound;
    return { value: bound.exclusive ? Math.ceil(bound.value) - 1 : Math.floor(bound.value), exclusive: false };
  };
  return { low: low && up(low), high: high && down(high) };
}

/**
 * A bound on magnitudes that no number of at most 16 digits can break says nothing, unless the other bound asks for
 * numbers that are as long.
 */
function binding(bound: Bound, other: Bound | undefined): Bound | undefined {
  const isFar = Math.abs(bound.value) >= 10 ** FREE_DIGITS;
  const sameSide = other !== undefined && Math.sign(other.value) === Math.sign(bound.value);
  const isLong = sameSide && Math.abs(other.value) >= 10 ** (FREE_DIGITS - 1);
  return isFar && !isLong ? undefined : bound;
}

/**
 * Expression of the numbers in a range, written without exponent, with at most 16 free digits on either side of the
 * point. Undefined when there are none.
 */
export function numbersIn(rules: RuleBook, given: Range, integer: boolean): string | undefined {
  const tight = integer ? tighten(given) : given;
  const low = tight.low !== undefined && tight.low.value < 0 ? binding(tight.low, tight.high) : tight.low;
  const high = tight.high !== undefined && tight.high.value > 0 ? binding(tight.high, tight.low) : tight.high;
  const parts: string[] = [];
  if (low === undefined || low.value < 0) {
    const zero = { ...ZERO, exclusive: integer || (high?.value === 0 && high.exclusive) };
    const found = magnitudes(
      rules,
      high !== undefined && high.value < 0 ? edgeOf(high) : zero,
      low && edgeOf(low),
      integer,
    );
    if (found !== undefined) parts.push(`"-" ${found}`);
  }
  if (high === undefined || high.value >= 0) {
    const least = low !== undefined && low.value >= 0 ? edgeOf(low) : ZERO;
    const found = magnitudes(rules, least, high && edgeOf(high), integer);
    if (found !== undefined) parts.push(found);
  }
  return parts.length === 0 ? undefined : anyOf(parts);
}
