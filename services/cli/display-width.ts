import { stripVTControlCharacters } from "node:util";

const CONTROL = /[\p{Cc}\u2028\u2029]/gu;
/** Marks that join the letter before them, and letters that show nothing. */
const NARROW = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
/** East Asian wide and full width letters, as terminals take them. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;
const ELLIPSIS = "…";

/** Columns that a text takes on a terminal. Colours take none. The text is one line without control characters. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const cluster of clustersOf(stripVTControlCharacters(text))) width += clusterWidth(cluster);
  return width;
}

/** A text as one line: every control character, which could move the cursor, is a space. */
export function oneLine(text: string): string {
  return text.replaceAll(CONTROL, " ");
}

/** A line of at most so many columns; one that is cut ends in `…`. It has no colours: those come after. */
export function cutToWidth(line: string, columns: number): string {
  if (displayWidth(line) <= columns) return line;
  let kept = "";
  let width = 0;
  for (const cluster of clustersOf(line)) {
    width += clusterWidth(cluster);
    if (width > columns - 1) break;
    kept += cluster;
  }
  return columns > 0 ? kept + ELLIPSIS : "";
}

/** A text in lines of at most so many columns, broken at spaces; those after the first are indented. */
export function wrapWords(text: string, columns: number, indent: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && displayWidth(last) + 1 + displayWidth(word) <= columns)
      lines.push(`${lines.pop()} ${word}`);
    else lines.push(last === undefined ? word : indent + word);
  }
  return lines.join("\n");
}

/** A text followed by spaces up to a width. */
export function padToWidth(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - displayWidth(text)));
}

/** What a reader takes for one letter each: marks and joined emoji stay together. */
function* clustersOf(text: string): Generator<string> {
  for (const { segment } of new Intl.Segmenter().segment(text)) yield segment;
}

function clusterWidth(cluster: string): number {
  if (NARROW.test(cluster)) return 0;
  // A letter that is followed by the sign for "as an emoji" is shown as one, and those are wide.
  return WIDE.test(cluster) || cluster.includes("\ufe0f") ? 2 : 1;
}
