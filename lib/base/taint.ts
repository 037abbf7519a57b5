/** A word that an operator gives a worker, such as zone=a or gpu=h100. */
export const TAINT_PATTERN = "[A-Za-z0-9][A-Za-z0-9._=:/-]{0,127}";

/** Words that one worker may have. */
export const MOST_TAINTS = 32;

/** Names of sessions are no longer than this, in UTF-16 units. */
export const SESSION_LENGTH = 256;

const WHOLE = new RegExp(`^${TAINT_PATTERN}$`);

/** Words with commas between them; undefined when one is none, or there are too many. */
export function parseTaints(given: string): readonly string[] | undefined {
  const words = given
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  return words.length <= MOST_TAINTS && words.every((word) => WHOLE.test(word)) ? [...new Set(words)] : undefined;
}

/** Those that are words, of what another process says that it has. */
export function readTaints(given: readonly string[]): ReadonlySet<string> {
  return new Set(given.slice(0, MOST_TAINTS).filter((word) => WHOLE.test(word)));
}
