/** What a check says when a promise was not kept. */
export class Failure extends Error {}

/** What a check says when the process does not claim the ability that it asks about. */
export class Unclaimed extends Error {}

/** What a check says when the process gave it no chance to look, such as an answer that was over too soon. */
export class Unseen extends Error {}

/** Fails the check unless it holds. */
export function expect(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Failure(sentence);
}

/** Ends the check as not claimed unless it holds. */
export function claimed(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Unclaimed(sentence);
}

/** Ends the check as not seen unless it holds. */
export function seen(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Unseen(sentence);
}
