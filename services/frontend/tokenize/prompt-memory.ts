import { assert } from "#lib/base/errors";
import { BEFORE, CUT_NUMBERS, type NativeEncoding } from "#lib/native/addon";
import {
  agreeingContent,
  behind,
  contentIn,
  cut,
  further,
  joined,
  keptBytes,
  ownPiece,
  type Piece,
  type Place,
  type PromptText,
  START,
  same,
} from "./prompt-text.ts";
import { SeenCuts } from "./seen-cuts.ts";
import { TokenLine } from "./token-line.ts";

/** A place in a stretch of text behind which the rest is encoded as it would be alone. */
interface Cut {
  /** How much of the stretch is before it, as the text counts. */
  readonly end: number;
  /** The same in UTF-16 units. */
  readonly units: number;
  /** The same in bytes of UTF-8. */
  readonly bytes: number;
  /** Tokens of these. */
  readonly tokens: number;
  /** How much behind it must be the same too. */
  readonly ahead: number;
  /** What the rest stands behind, of `BEFORE`. */
  readonly before: number;
}

/** A stretch of texts that begin alike, from one cut to another. */
interface Stretch {
  /** None keeps much more alive than itself. */
  readonly pieces: readonly Piece[];
  /** From its start, in UTF-16 units. */
  readonly content: readonly number[];
  /** As `NativeEncoding` has them, counted from its start; the last one is its end. None at the root. */
  readonly cuts: Uint32Array;
  /** What stands behind its end, so far as that has to be the same. */
  readonly ahead: string;
}

/** A stretch at its place in the tree, and what is known up to its end. */
interface Node {
  stretch: Stretch;
  /** What goes on behind it, by how that begins; the newest first. */
  children: Map<string, Node[]> | undefined;
  parent: Node | undefined;
  /** How it begins. */
  key: string;
  /** Tokens up to its end. */
  readonly tokens: number;
  /** Begins with these tokens; undefined at the root. */
  line: TokenLine | undefined;
  /** Of the stretch, and of the node. */
  bytes: number;
}

/** What the memories of a process hold, and what they found. */
export interface PromptTally {
  /** Held now. */
  bytes: number;
  /** Tokens of prompts that were known. */
  knownTokens: number;
  /** Tokens of prompts that were encoded. */
  newTokens: number;
}

/** A tally of nothing. */
export function createTally(): PromptTally {
  return { bytes: 0, knownTokens: 0, newTokens: 0 };
}

/** How far a text is known. */
export interface Known {
  /** What ends there. */
  readonly node: Node;
  /** Where the rest begins. */
  readonly place: Place;
  /** Of the memory when this was found. */
  readonly version: number;
}

/** What of a text is to be encoded. */
export interface Rest extends PromptText {
  /** What it stands behind, of `BEFORE`. */
  readonly before: number;
}

/** How much of a stretch tells it from others: no two cuts are so near, and few texts part between here and the next. */
const KEY_LENGTH = 80;
/** Stretches behind the same one that begin alike. */
const MOST_ALIKE = 8;
/** A new text of so many tokens is remembered at once: next to what it costs, remembering it is little. */
const LONG_TOKENS = 4096;
/** Of the memory for what came once: one part of so many. */
const SEEN_SHARE = 16;
/** What is held beside texts and ids: objects, maps, a place in the order of use. */
const NODE_BYTES = 700;
const PIECE_BYTES = 32;
const LINE_BYTES = 300;

/**
 * Remembers the texts that were encoded and their tokens, so that a conversation which comes again with a new turn pays
 * for the turn alone. A short text is remembered when its beginning comes a second time: most come once, and keeping a
 * text costs about as much as encoding it. Texts are a tree: a stretch is used only if all of it, and the content in it, is
 * the same. Bounded in bytes; what was least recently used goes first, the end of a text before its start.
 */
export class PromptMemory {
  #mostBytes: number;
  readonly #tally: PromptTally;
  readonly #roots = new Map<string, Node>();
  /** Least recently used first, but each before the one that it goes on from. */
  readonly #order = new Set<Node>();
  /** How many nodes have a line. */
  readonly #users = new Map<TokenLine, number>();
  /** What is not remembered, should it come again. */
  #seen: SeenCuts;
  #bytes = 0;
  #version = 0;

  constructor(mostBytes: number, tally: PromptTally = createTally()) {
    this.#mostBytes = mostBytes;
    this.#tally = tally;
    this.#seen = new SeenCuts(mostBytes / SEEN_SHARE);
    this.#weigh(this.#seen.bytes);
  }

  /** What it holds. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The longest known beginning of a text. Chats and other texts share none: what is put around them differs. */
  find(text: PromptText, isChat: boolean): Known {
    let node = this.#root(`${isChat} ${typeof text.pieces[0]}`);
    let place = START;
    for (let next = this.#next(node, text, place); next; next = this.#next(node, text, place)) {
      const { end, units } = endOf(next.stretch);
      place = further(text, place, end, units);
      node = next;
    }
    return { node, place, version: this.#version };
  }

  /** What of a text is not known. */
  rest(text: PromptText, { node, place }: Known): Rest {
    const before = node.parent ? endOf(node.stretch).before : BEFORE.nothing;
    return { pieces: behind(text, place), content: contentIn(text.content, place.units), before };
  }

  /** The tokens of a text by those of its rest, which it takes. Nobody may write to them. */
  add(text: PromptText, { node, place, version }: Known, { ids, cuts }: NativeEncoding): Uint32Array {
    this.#tally.knownTokens += node.tokens;
    this.#tally.newTokens += ids.length;
    // Others came and went while it was encoded: it is remembered when it comes again.
    if (version !== this.#version || this.#mostBytes === 0) return appended(node, ids);
    const had = node.line?.bytes ?? 0;
    const goesOn = node.line?.extend(node.tokens, ids) ?? false;
    if (goesOn) this.#weigh(node.line!.bytes - had);
    let prompt: Uint32Array;
    if (!this.#isWorth(node, ids, cuts)) {
      prompt = goesOn ? node.line!.first(node.tokens + ids.length) : appended(node, ids);
      this.#touch(node);
    } else {
      const line = goesOn ? node.line! : (node.line?.fork(node.tokens, ids) ?? new TokenLine(ids));
      prompt = line.first(node.tokens + ids.length);
      this.#touch(this.#insert(stretchOf(text, place, cuts), node, line));
    }
    this.#shrink();
    return prompt;
  }

  /** Gives up all of it, and remembers nothing more. */
  close(): void {
    this.#mostBytes = 0;
    for (const node of this.#order) this.#forget(node);
    this.#weigh(-this.#seen.bytes);
    this.#seen = new SeenCuts(0);
  }

  /** Whether the rest of a text is to be remembered: it is long, goes on with what nothing else does, or came before. */
  #isWorth(node: Node, ids: Uint32Array, cuts: Uint32Array): boolean {
    if (cuts.length === 0) return false;
    const goesOnAlone = node.parent !== undefined && node.children === undefined;
    return goesOnAlone || ids.length >= LONG_TOKENS || this.#seen.mark(node.tokens, ids, cuts);
  }

  #weigh(bytes: number): void {
    this.#bytes += bytes;
    this.#tally.bytes += bytes;
  }

  #root(form: string): Node {
    const known = this.#roots.get(form);
    if (known) return known;
    const stretch = { pieces: [], content: [], cuts: new Uint32Array(0), ahead: "" };
    const root = { stretch, children: undefined, parent: undefined, key: "", tokens: 0, line: undefined, bytes: 0 };
    this.#roots.set(form, root);
    return root;
  }

  /** The stretch behind another with which a text goes on. One of which the text has only a part is split. */
  #next({ children }: Node, text: PromptText, place: Place): Node | undefined {
    if (!children) return undefined;
    for (const child of children.get(joined(behind(text, place, KEY_LENGTH))) ?? []) {
      const count = knownCuts(child.stretch, text, place);
      if (count * CUT_NUMBERS === child.stretch.cuts.length) return child;
      if (count > 0) return this.#split(child, count);
    }
    return undefined;
  }

  /** Puts a node before another that takes the first so many cuts of its stretch. */
  #split(node: Node, count: number): Node {
    const { stretch, parent, key, line } = node;
    const { cuts } = stretch;
    const at = cutAt(stretch, count - 1);
    const place = further(stretch, START, at.end, at.units);
    assert(parent && line, "a stretch has something before it, and tokens");
    const first = stretchOf(stretch, START, cuts.slice(0, count * CUT_NUMBERS));
    const tokens = node.tokens - endOf(stretch).tokens + at.tokens;
    const upper: Node = { stretch: first, children: new Map(), parent, key, tokens, line, bytes: bytesOf(first) };
    const alike = parent.children!.get(key)!;
    alike[alike.indexOf(node)] = upper;
    // In the order of use it comes before what it goes on from, whether a text is added behind it or not.
    this.#touch(upper);
    this.#users.set(line, this.#users.get(line)! + 1);
    this.#weigh(upper.bytes - node.bytes);
    node.stretch = {
      pieces: ownPieces(stretch, place),
      content: contentIn(stretch.content, at.units),
      cuts: cutsBehind(cuts, count),
      ahead: stretch.ahead,
    };
    node.parent = upper;
    node.key = joined(behind(stretch, place, KEY_LENGTH));
    node.bytes = bytesOf(node.stretch);
    upper.children!.set(node.key, [node]);
    this.#weigh(node.bytes);
    this.#version++;
    return upper;
  }

  #insert(stretch: Stretch, parent: Node, line: TokenLine): Node {
    const key = joined(behind(stretch, START, KEY_LENGTH));
    const bytes = bytesOf(stretch);
    const tokens = parent.tokens + endOf(stretch).tokens;
    const node: Node = { stretch, children: undefined, parent, key, tokens, line, bytes };
    parent.children ??= new Map();
    const alike = parent.children.get(key) ?? [];
    if (alike.length >= MOST_ALIKE) this.#forgetAll(alike.at(-1)!);
    alike.unshift(node);
    parent.children.set(key, alike);
    const users = this.#users.get(line) ?? 0;
    this.#users.set(line, users + 1);
    this.#weigh(bytes);
    if (users === 0) this.#weigh(LINE_BYTES + line.bytes);
    this.#version++;
    return node;
  }

  /** It was used, and so was all before it. */
  #touch(node: Node): void {
    for (let each = node; each.parent; each = each.parent) {
      this.#order.delete(each);
      this.#order.add(each);
    }
  }

  #shrink(): void {
    for (const node of this.#order) {
      if (this.#bytes <= this.#mostBytes) return;
      this.#forget(node);
    }
  }

  #forgetAll(node: Node): void {
    for (const alike of [...(node.children?.values() ?? [])]) for (const child of [...alike]) this.#forgetAll(child);
    this.#forget(node);
  }

  /** Forgets a node behind which there is none. */
  #forget(node: Node): void {
    const { parent, key, line } = node;
    assert(parent && line && !node.children, "what goes on is forgotten before what it goes on from");
    const alike = parent.children!.get(key)!;
    alike.splice(alike.indexOf(node), 1);
    if (alike.length === 0) parent.children!.delete(key);
    if (parent.children!.size === 0) parent.children = undefined;
    this.#order.delete(node);
    this.#weigh(-node.bytes);
    this.#version++;
    const users = this.#users.get(line)! - 1;
    this.#users.set(line, users);
    if (users === 0) this.#giveUp(line);
    else if (line.bytes > 2 * bytesOfTokens(parent)) this.#shorten(line, parent);
  }

  #giveUp(line: TokenLine): void {
    this.#users.delete(line);
    this.#weigh(-(LINE_BYTES + line.bytes));
  }

  /** Gives the nodes of a line another one that ends with the last of them: prompts may still be views of the first. */
  #shorten(line: TokenLine, last: Node): void {
    const nodes: Node[] = [];
    for (let each: Node | undefined = last; each?.line === line; each = each.parent) nodes.push(each);
    // Others with the same ids may go on elsewhere.
    if (nodes.length < this.#users.get(line)!) return;
    const shorter = line.fork(last.tokens);
    for (const node of nodes) node.line = shorter;
    this.#users.set(shorter, nodes.length);
    this.#weigh(LINE_BYTES + shorter.bytes);
    this.#giveUp(line);
  }
}

function cutAt({ pieces, cuts }: Pick<Stretch, "pieces" | "cuts">, index: number): Cut {
  const at = index * CUT_NUMBERS;
  assert(at >= 0 && at < cuts.length, "a stretch ends with a cut");
  const [units, bytes] = [cuts[at]!, cuts[at + 1]!];
  const end = typeof pieces[0] === "string" ? units : bytes;
  return { end, units, bytes, tokens: cuts[at + 2]!, ahead: cuts[at + 3]!, before: cuts[at + 4]! };
}

function endOf(stretch: Pick<Stretch, "pieces" | "cuts">): Cut {
  return cutAt(stretch, stretch.cuts.length / CUT_NUMBERS - 1);
}

/** The cuts behind the first so many, counted from the last of these. */
function cutsBehind(cuts: Uint32Array, count: number): Uint32Array {
  const last = cuts.subarray((count - 1) * CUT_NUMBERS, count * CUT_NUMBERS);
  const from = [last[0]!, last[1]!, last[2]!, 0, 0];
  return cuts.slice(count * CUT_NUMBERS).map((each, at) => each - from[at % CUT_NUMBERS]!);
}

function bytesOfTokens({ tokens }: Node): number {
  return 256 + tokens * Uint32Array.BYTES_PER_ELEMENT;
}

function appended({ line, tokens }: Node, ids: Uint32Array): Uint32Array {
  if (!line) return ids;
  const prompt = new Uint32Array(tokens + ids.length);
  prompt.set(line.first(tokens));
  prompt.set(ids, tokens);
  return prompt;
}

/** The stretch of a text from a place to the last of these cuts. */
function stretchOf(text: PromptText, from: Place, cuts: Uint32Array): Stretch {
  const { end, units, ahead } = endOf({ pieces: text.pieces, cuts });
  return {
    pieces: ownPieces(text, from, end),
    content: contentIn(text.content, from.units, units),
    cuts,
    ahead: joined(behind(text, further(text, from, end, units), ahead)),
  };
}

/** What stands behind a place, up to so much of it: what is only a part of a piece of the text is copied. */
function ownPieces(text: PromptText, from: Place, length?: number): Piece[] {
  const pieces = behind(text, from, length);
  for (const at of new Set([0, pieces.length - 1])) {
    const whole = text.pieces[from.piece + at];
    if (pieces[at]!.length < whole!.length) pieces[at] = ownPiece(pieces[at]!);
  }
  return pieces;
}

function bytesOf(stretch: Stretch): number {
  const { pieces, content, cuts } = stretch;
  const { end, units, bytes } = endOf(stretch);
  // Only ASCII is sure to have a byte for each unit.
  const text = typeof pieces[0] !== "string" ? keptBytes(bytes) : end === bytes ? bytes : 2 * units;
  return NODE_BYTES + pieces.length * PIECE_BYTES + text + content.length * 8 + cuts.byteLength;
}

/** With how many of its cuts a stretch is what stands at a place. */
function knownCuts(stretch: Stretch, text: PromptText, from: Place): number {
  const { cuts, ahead } = stretch;
  const { end, units } = endOf(stretch);
  let length = commonLength(stretch, text, from);
  if (length === end && joined(behind(text, further(text, from, end, units), ahead.length)) === ahead) {
    length += ahead.length;
  }
  const agreeing = agreeingContent(stretch.content, text.content, { from: from.units, units });
  for (let count = cuts.length / CUT_NUMBERS; count > 0; count--) {
    const cut = cutAt(stretch, count - 1);
    if (reach(cut) <= length && cut.units <= agreeing) return count;
  }
  return 0;
}

/** How much of a text has to be known for a cut. */
function reach({ end, ahead }: Cut): number {
  return end + ahead;
}

/** How much of a stretch stands at a place, up to a piece that differs; of that up to a cut. */
function commonLength(stretch: Stretch, text: PromptText, from: Place): number {
  let { piece, offset } = from;
  let length = 0;
  for (const known of stretch.pieces) {
    const given = text.pieces[piece];
    if (given === undefined) break;
    const whole = offset === 0 && given.length === known.length;
    if (!same(whole ? given : cut(given, offset, Math.min(given.length, offset + known.length)), known)) {
      return length + commonToCut(stretch, { known, given: cut(given, offset, given.length), start: length });
    }
    length += known.length;
    offset += known.length;
    if (offset === given.length) {
      piece++;
      offset = 0;
    }
  }
  return length;
}

/** How much two pieces have in common at least: up to behind the last cut up to which they are the same. */
function commonToCut(
  stretch: Stretch,
  { known, given, start }: { readonly known: Piece; readonly given: Piece; readonly start: number },
): number {
  const most = Math.min(known.length, given.length);
  let [low, high, common] = [0, stretch.cuts.length / CUT_NUMBERS, 0];
  while (low < high) {
    const middle = (low + high) >> 1;
    const length = reach(cutAt(stretch, middle)) - start;
    if (length <= common || (length <= most && same(cut(known, 0, length), cut(given, 0, length)))) {
      common = Math.max(common, length);
      low = middle + 1;
    } else high = middle;
  }
  return common;
}
