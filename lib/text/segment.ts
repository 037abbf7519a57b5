import { type SpecialToken, TOKEN_BIT } from "./special.ts";

/**
 * Receives the parts of a text in order. Calls never overlap and cover the text but for white space that a special
 * token eats.
 */
export interface SegmentSink {
  /** Plain text between special tokens, never empty: units `start .. end` of the text. */
  plain(start: number, end: number): void;
  /** A special token where it stands in the text. */
  special(token: SpecialToken): void;
}

/** Cuts text at special tokens exactly as the library does. */
export interface Splitter {
  /** False, with nothing told, where the text has more special tokens than it may, or finding them takes many passes. */
  split(text: string, sink: SegmentSink, options?: SplitOptions): boolean;
}

/** How a text is cut. */
export interface SplitOptions {
  /** Special tokens at most. Default Infinity. */
  readonly most?: number;
  /**
   * Where the text is somebody else's: start and end in UTF-16 units, in turn, rising. A control token that touches it is
   * none, however it is spelled. Default: nowhere.
   */
  readonly content?: readonly number[];
}

const NOWHERE: readonly number[] = [];

/** Tokens that content does not name. */
const OF_THE_TEMPLATE = TOKEN_BIT.control | TOKEN_BIT.unknown;

/** A special token found at `start`; `order` is its place in the search order. */
interface Match {
  readonly start: number;
  readonly end: number;
  readonly order: number;
}

/** One node of the trie of special texts, by UTF-16 unit. */
interface Node {
  /** The first unit that was seen behind it and where that leads: mostly the only one, and a map is slow. */
  unit: number;
  only: Node | undefined;
  /** All others. */
  more: Map<number, Node> | undefined;
  /** Place in the search order of the token that ends here. */
  order: number | undefined;
}

function newNode(): Node {
  return { unit: -1, only: undefined, more: undefined, order: undefined };
}

function nextOf(node: Node, unit: number): Node | undefined {
  return node.unit === unit ? node.only : node.more?.get(unit);
}

function addNext(node: Node, unit: number): Node {
  const next = newNode();
  if (node.only) {
    node.more ??= new Map();
    node.more.set(unit, next);
  } else {
    node.unit = unit;
    node.only = next;
  }
  return next;
}

/** More first characters than this are found by a table over units instead of by one search each. */
const MAX_SEARCHES = 4;

function trieOf(tokens: readonly SpecialToken[]): Node {
  const root = newNode();
  for (const [order, { text }] of tokens.entries()) {
    let node = root;
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      node = nextOf(node, unit) ?? addNext(node, unit);
    }
    node.order ??= order;
  }
  return root;
}

/** Every special text that begins at `start`, shortest first. */
function matchesAt(root: Node, text: string, start: number, found: Match[]): void {
  let node: Node | undefined = root;
  for (let at = start; at < text.length; at++) {
    node = nextOf(node, text.charCodeAt(at));
    if (!node) return;
    if (node.order !== undefined) found.push({ start, end: at + 1, order: node.order });
  }
}

/** All occurrences of all special texts, overlapping ones included; undefined when there are too many to weigh up. */
type Finder = (text: string) => Match[] | undefined;

/** Beyond this many matches, as in long runs of spaces under tokens of spaces, the text is searched token by token. */
function tooMany(found: readonly Match[], text: string): boolean {
  return found.length > 1024 + text.length / 4;
}

/** The units that special texts begin with. */
function firstUnits(tokens: readonly SpecialToken[]): number[] {
  return [...new Set(tokens.filter(({ text }) => text !== "").map(({ text }) => text.charCodeAt(0)))];
}

function searchFinder(root: Node, units: readonly number[]): Finder {
  const firsts = units.map((unit) => String.fromCharCode(unit));
  return (text) => {
    const found: Match[] = [];
    for (const first of firsts) {
      for (let at = text.indexOf(first); at >= 0; at = text.indexOf(first, at + 1)) {
        matchesAt(root, text, at, found);
        if (tooMany(found, text)) return undefined;
      }
    }
    return firsts.length > 1 ? found.sort((left, right) => left.start - right.start) : found;
  };
}

function tableFinder(root: Node, units: readonly number[]): Finder {
  const isFirst = new Uint8Array(0x10000);
  for (const unit of units) isFirst[unit] = 1;
  return (text) => {
    const found: Match[] = [];
    for (let at = 0; at < text.length; at++) {
      if (isFirst[text.charCodeAt(at)] === 0) continue;
      matchesAt(root, text, at, found);
      if (tooMany(found, text)) return undefined;
    }
    return found;
  };
}

/**
 * Decides between overlapping matches as the library does: token by token in search order, each taking its leftmost
 * free places. `cluster` is in order of start; the answer too.
 */
function settle(cluster: Match[], startUnit: number, endUnit: number): Match[] {
  if (cluster.length === 1) return cluster;
  const taken = new Uint8Array(endUnit - startUnit);
  const kept: Match[] = [];
  for (const match of cluster.sort((left, right) => left.order - right.order || left.start - right.start)) {
    const place = taken.subarray(match.start - startUnit, match.end - startUnit);
    if (place.includes(1)) continue;
    place.fill(1);
    kept.push(match);
  }
  return kept.sort((left, right) => left.start - right.start);
}

/** The matches that hold. Only matches that touch the same units compete. */
function settleAll(found: readonly Match[]): Match[] {
  const kept: Match[] = [];
  for (let at = 0; at < found.length; ) {
    const start = found[at]?.start ?? 0;
    let end = found[at]?.end ?? 0;
    let next = at + 1;
    for (; next < found.length; next++) {
      const other = found[next];
      if (!other || other.start >= end) break;
      end = Math.max(end, other.end);
    }
    for (const match of settle(found.slice(at, next), start, end)) kept.push(match);
    at = next;
  }
  return kept;
}

/** Matches that hold beside content: `found` and `content` are both in order of their starts. */
function outsideOf(content: readonly number[], found: readonly Match[], tokens: readonly SpecialToken[]): Match[] {
  let at = 0;
  return found.filter(({ start, end, order }) => {
    while (at < content.length && content[at + 1]! <= start) at += 2;
    const touches = at < content.length && content[at]! < end;
    return !touches || ((tokens[order]?.bits ?? 0) & OF_THE_TEMPLATE) === 0;
  });
}

function fastSplitter(tokens: readonly SpecialToken[]): Splitter {
  const root = trieOf(tokens);
  const units = firstUnits(tokens);
  const find = units.length <= MAX_SEARCHES ? searchFinder(root, units) : tableFinder(root, units);
  const fallback = plainSplitter(tokens);
  return {
    split(text, sink, options = {}) {
      const { most = Number.POSITIVE_INFINITY, content = NOWHERE } = options;
      const all = find(text);
      if (!all) return fallback.split(text, sink, options);
      const found = content.length === 0 ? all : outsideOf(content, all, tokens);
      if (found.length > most) return false;
      let from = 0;
      for (const match of settleAll(found)) {
        const token = tokens[match.order];
        if (!token) continue;
        if (match.start > from) sink.plain(from, match.start);
        sink.special(token);
        from = match.end;
      }
      if (from < text.length) sink.plain(from, text.length);
      return true;
    },
  };
}

/** The white space of C's isspace, which knows ASCII only. */
function isSpace(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit === 32 || (unit >= 9 && unit <= 13);
}

/** A part of a text while it is being cut: plain where `token` is undefined. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly token: SpecialToken | undefined;
}

/** Finds a token's next place from `from` on; -1 where there is none. Content is passed over by tokens it does not name. */
function placeFinder(text: string, token: SpecialToken, content: readonly number[]): (from: number) => number {
  if (content.length === 0 || (token.bits & OF_THE_TEMPLATE) === 0) return (from) => text.indexOf(token.text, from);
  // Places are asked for from left to right.
  let range = 0;
  return (from) => {
    for (let at = text.indexOf(token.text, from); at >= 0; at = text.indexOf(token.text, at + 1)) {
      while (range < content.length && content[range + 1]! <= at) range += 2;
      if (range >= content.length || content[range]! >= at + token.text.length) return at;
    }
    return -1;
  };
}

/** Cuts every plain part at every occurrence of one token. */
function cut(
  text: string,
  parts: readonly Part[],
  { token, find }: { token: SpecialToken; find: (from: number) => number },
): Part[] {
  const into: Part[] = [];
  let at = find(0);
  for (const part of parts) {
    let { start } = part;
    while (!part.token) {
      // The next occurrence is searched once, not once for each part before it.
      if (at >= 0 && at < start) at = find(start);
      if (at < 0 || at + token.text.length > part.end) break;
      let leftEnd = at;
      if (token.bits & TOKEN_BIT.stripLeft) while (leftEnd > start && isSpace(text, leftEnd - 1)) leftEnd--;
      if (leftEnd > start) into.push({ start, end: leftEnd, token: undefined });
      start = at + token.text.length;
      into.push({ start: at, end: start, token });
      if (token.bits & TOKEN_BIT.stripRight) while (start < part.end && isSpace(text, start)) start++;
    }
    if (part.token) into.push(part);
    else if (start < part.end) into.push({ start, end: part.end, token: undefined });
  }
  return into;
}

/** Units that are searched, over all tokens, for a caller that has not all the time: a few milliseconds. */
const MOST_SEARCHED = 16 << 20;

/** Token by token over the whole text, as the library does it. Slow with many tokens, and right for all. */
function plainSplitter(tokens: readonly SpecialToken[]): Splitter {
  return {
    split(text, sink, { most = Number.POSITIVE_INFINITY, content = NOWHERE } = {}) {
      if (most !== Number.POSITIVE_INFINITY && tokens.length * text.length > MOST_SEARCHED) return false;
      let parts: Part[] = text === "" ? [] : [{ start: 0, end: text.length, token: undefined }];
      for (const token of tokens) {
        if (text.includes(token.text)) parts = cut(text, parts, { token, find: placeFinder(text, token, content) });
        if (parts.length > most * 2 + 1) return false;
      }
      for (const { start, end, token } of parts) {
        if (token) sink.special(token);
        else sink.plain(start, end);
      }
      return true;
    },
  };
}

/**
 * A splitter for tokens in search order. Costs one pass over the text, and more only where specials overlap; a
 * vocabulary with tokens that eat white space around them is searched token by token.
 * @param exhaustive searches token by token in any case; the oracle of the tests
 */
export function createSplitter(tokens: readonly SpecialToken[], exhaustive = false): Splitter {
  const strips = tokens.some(({ bits }) => (bits & (TOKEN_BIT.stripLeft | TOKEN_BIT.stripRight)) !== 0);
  return strips || exhaustive ? plainSplitter(tokens) : fastSplitter(tokens);
}
