/** What a check says when the worker did not keep its promise. */
export class Failure extends Error {}

/** Fails the check unless it holds. */
export function expect(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Failure(sentence);
}
