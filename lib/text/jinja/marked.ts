import { ownCopy } from "#lib/base/bytes";

/**
 * A string that knows which of its characters came with the request and not from the template: what a client wrote is never
 * a control token, however it is spelled. A string that the template wrote in full is a plain one.
 */
export class Marked {
  /** Tells it from every other object. */
  readonly isMarked = true;
  readonly text: string;
  /** Where content lies: start and end in UTF-16 units, in turn, rising, none empty, none touching. */
  readonly content: readonly number[];
  /** It counts as HTML, as the filters `safe` and `escape` make it: what is added to it is escaped. */
  readonly isMarkup: boolean;

  constructor(text: string, content: readonly number[], isMarkup = false) {
    this.text = text;
    this.content = content;
    this.isMarkup = isMarkup;
  }
}

/** A string of a template. */
export type Text = string | Marked;

/** The characters alone. */
export function plain(text: Text): string {
  return typeof text === "string" ? text : text.text;
}

/** A string that came with the request. */
export function content(text: string): Text {
  return text === "" ? "" : new Marked(text, [0, text.length]);
}

/** Whether any of it came with the request. */
export function hasContent(text: Text): boolean {
  return typeof text !== "string" && text.content.length > 0;
}

/** A stretch of a string. It keeps the string alive, so that of a small one a copy is made: who keeps it counts what it has. */
function stretch(text: string, start: number, end: number): string {
  const piece = text.slice(start, end);
  return piece.length * 2 < text.length ? ownCopy(piece) : piece;
}

/** From `start` to before `end`, in UTF-16 units. */
export function cut(text: Text, start: number, end: number): Text {
  if (typeof text === "string") return stretch(text, start, end);
  if (start <= 0 && end >= text.text.length) return text;
  const ranges: number[] = [];
  for (let at = 0; at < text.content.length; at += 2) {
    const from = Math.max(text.content[at]!, start);
    const to = Math.min(text.content[at + 1]!, end);
    if (from < to) ranges.push(from - start, to - start);
  }
  const piece = stretch(text.text, start, end);
  return ranges.length === 0 && !text.isMarkup ? piece : new Marked(piece, ranges, text.isMarkup);
}

/** Puts strings together. */
export class TextBuilder {
  readonly #parts: string[] = [];
  readonly #content: number[] = [];
  #length = 0;

  /** UTF-16 units so far. */
  get length(): number {
    return this.#length;
  }

  /** What was added, in order; borrowed. */
  get parts(): readonly string[] {
    return this.#parts;
  }

  /** Where content lies in all of it, as in `Marked`; borrowed. */
  get content(): readonly number[] {
    return this.#content;
  }

  add(text: Text): void {
    if (typeof text === "string") {
      this.#parts.push(text);
      this.#length += text.length;
      return;
    }
    const { content: ranges } = text;
    for (let at = 0; at < ranges.length; at += 2) {
      const start = this.#length + ranges[at]!;
      if (this.#content.at(-1) === start) this.#content.pop();
      else this.#content.push(start);
      this.#content.push(this.#length + ranges[at + 1]!);
    }
    this.#parts.push(text.text);
    this.#length += text.text.length;
  }

  /** What was put together; the builder may go on. */
  take(): Text {
    // Not joined: a template that adds to a long content, piece after piece, would copy it each time.
    let text = "";
    for (const part of this.#parts) text += part;
    return this.#content.length === 0 ? text : new Marked(text, [...this.#content]);
  }
}

/** Strings one behind the other. */
export function concat(texts: readonly Text[]): Text {
  if (texts.length === 2 && typeof texts[0] === "string" && typeof texts[1] === "string") return texts[0] + texts[1];
  const builder = new TextBuilder();
  for (const text of texts) builder.add(text);
  return builder.take();
}

/** Strings with another between them. */
export function join(texts: readonly Text[], between: Text): Text {
  const builder = new TextBuilder();
  texts.forEach((text, at) => {
    if (at > 0) builder.add(between);
    builder.add(text);
  });
  return builder.take();
}

/** What a function makes of each stretch of one origin, such as capitals. */
export function mapStretches(text: Text, map: (stretch: string) => string): Text {
  if (typeof text === "string") return map(text);
  const builder = new TextBuilder();
  let at = 0;
  for (let range = 0; range < text.content.length; range += 2) {
    const start = text.content[range]!;
    const end = text.content[range + 1]!;
    if (at < start) builder.add(map(text.text.slice(at, start)));
    builder.add(content(map(text.text.slice(start, end))));
    at = end;
  }
  if (at < text.text.length) builder.add(map(text.text.slice(at)));
  return text.isMarkup ? asMarkup(builder.take()) : builder.take();
}

/** A string that counts as HTML. */
export function asMarkup(text: Text): Marked {
  if (typeof text === "string") return new Marked(text, [], true);
  return text.isMarkup ? text : new Marked(text.text, text.content, true);
}

/** The same string, which does not count as HTML. */
export function withoutMarkup(text: Text): Text {
  if (typeof text === "string" || !text.isMarkup) return text;
  return text.content.length === 0 ? text.text : new Marked(text.text, text.content);
}

/** Whether a string counts as HTML. */
export function isMarkup(text: Text): boolean {
  return typeof text !== "string" && text.isMarkup;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  ">": "&gt;",
  "<": "&lt;",
  "'": "&#39;",
  '"': "&#34;",
};

/** A string as HTML writes it. */
export function escapeMarkup(text: Text): Marked {
  return asMarkup(mapStretches(text, (stretch) => stretch.replace(/[&<>'"]/g, (char) => ESCAPES[char] ?? char)));
}

/** One behind the other; where one is HTML the other is escaped. */
export function add(left: Text, right: Text): Text {
  if (!isMarkup(left) && !isMarkup(right)) return concat([left, right]);
  const both = [left, right].map((one) => (isMarkup(one) ? one : escapeMarkup(one)));
  return asMarkup(concat(both));
}
