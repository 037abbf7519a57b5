/** What a contract promises and a process is asked for. */
export interface Check<Bench> {
  /** The promise as a sentence without its subject: what the process does. Unique in its contract. */
  readonly name: string;
  /** The sentence of the contract that it holds, word for word. */
  readonly sentence: string;
  /** Where the sentence stands: an element of a `.proto` file by its name, or a page of docs. */
  readonly of: string;
  /** Asks for it. Throws a Failure when it is not kept, Unclaimed or Unseen when it cannot be asked for. */
  run(bench: Bench): Promise<void>;
}

/** How one check ended: kept, broken, of an ability that the process does not claim, or beyond what could be seen. */
export type Outcome = "passed" | "failed" | "unclaimed" | "unseen";

/** What one check found. */
export interface Found {
  /** That of the check. */
  readonly name: string;
  /** That of the check. */
  readonly sentence: string;
  /** That of the check. */
  readonly of: string;
  /** Only `passed` counts as kept. */
  readonly outcome: Outcome;
  /** Why, unless it passed. */
  readonly reason: string | undefined;
  /** From its first word to its last. */
  readonly tookMs: number;
}
