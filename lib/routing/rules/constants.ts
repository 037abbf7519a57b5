/** Numbers of the rules that an operator may set. */
export interface RuleConstants {
  /** Of the reference's rules: how freely they choose. 0 takes the least cost, more lets others have their share. */
  readonly temperature: number;
  /** What a block that the engine has counts for, in blocks of prefill that it saves. */
  readonly overlapCredit: number;
  /** How fast that credit shrinks at candidates with more to compute than the least busy. */
  readonly overlapCreditDecay: number;
  /** What a block of prefill counts for beside a block that is in use. */
  readonly prefillLoadScale: number;
  /** What a block in the host's memory counts for, beside one that the engine has. */
  readonly hostWeight: number;
  /** What a block on the disk counts for. */
  readonly diskWeight: number;
  /** What a block in a store outside counts for. */
  readonly externalWeight: number;
  /** What each request that is open there counts for, in blocks. */
  readonly activeRequestWeight: number;
  /** Of the SMG rules: more open requests than this between the busiest and the idlest may be too uneven. */
  readonly balanceAbsolute: number;
  /** The busiest is too busy with more than so many times the requests of the idlest. */
  readonly balanceRelative: number;
  /** Share of a prompt that must match for smg-tree to follow it. */
  readonly cacheThreshold: number;
  /** Milliseconds that a token of an answer may take at most; undefined: decode interference is shown and not counted. */
  readonly itlTargetMs: number | undefined;
}
