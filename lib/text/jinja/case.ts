import { mapStretches, plain, type Text } from "./marked.ts";

/** Python's `title`: the first letter of every run of letters is large, all others are small. */
export function titleCase(text: Text): Text {
  return mapStretches(text, (chars) =>
    chars.replace(/(\p{L}|\p{Lt})(\p{L}*)/gu, (_, first: string, rest: string) => title(first) + rest.toLowerCase()),
  );
}

/** The first character large, all others small. */
export function capitalized(text: Text): Text {
  let isFirst = true;
  return mapStretches(text, (stretch) => {
    if (!isFirst || stretch === "") return stretch.toLowerCase();
    isFirst = false;
    const [first = ""] = stretch;
    return title(first) + stretch.slice(first.length).toLowerCase();
  });
}

/** Large letters small and the other way round. */
export function swapped(text: Text): Text {
  return mapStretches(text, (stretch) =>
    [...stretch].map((char) => (char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase())).join(""),
  );
}

/** Letters that are two in one: large, large and small, small. */
const JOINED = ["Ǆǅǆ", "Ǉǈǉ", "Ǌǋǌ", "Ǳǲǳ"];

/** A first letter: of those that join two letters only the first is large. */
function title(char: string): string {
  const joined = JOINED.find((forms) => forms.includes(char));
  if (joined) return joined.charAt(1);
  const upper = char.toUpperCase();
  return upper.length > 1 && !upper.startsWith("ʼ") ? upper[0] + upper.slice(1).toLowerCase() : upper;
}

/** Whether there are letters with case, and all of them have this one. */
export function hasCase(text: Text, isUpper: boolean): boolean {
  const chars = plain(text);
  const wrong = isUpper ? /[\p{Ll}\p{Lt}]/u : /[\p{Lu}\p{Lt}]/u;
  return (isUpper ? /\p{Lu}/u : /\p{Ll}/u).test(chars) && !wrong.test(chars);
}
