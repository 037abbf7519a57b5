const [QUOTE, BACKSLASH, COLON] = [0x22, 0x5c, 0x3a];
const OPENING: readonly number[] = [0x7b, 0x5b];
const CLOSING: readonly number[] = [0x7d, 0x5d];

/** A field that a JSON object names twice, of which a parser keeps the last; undefined for none. `object` is what `text` says. */
export function repeatedField(text: string, object: object): string | undefined {
  const fields: string[] = [];
  let depth = 0;
  let string = "";
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      if (depth === 1) string = text.slice(at, end + 1);
      at = end;
    } else if (code === COLON && depth === 1) fields.push(string);
    else if (OPENING.includes(code)) depth++;
    else if (CLOSING.includes(code)) depth--;
  }
  if (fields.length === Object.keys(object).length) return undefined;
  const names = fields.map((field) => JSON.parse(field) as string);
  return names.find((name, at) => names.indexOf(name) < at);
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
  return at;
}
