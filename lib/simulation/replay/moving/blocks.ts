/** Blocks of a request that stay in the pool that they were computed in. */
export interface KeptBlocks {
  /** How many there are, from the first of the request on; none once their worker is gone. */
  readonly count: number;
  /** They need not stay any more. Once. */
  letGo(): void;
}

/** Places for blocks that come from another worker. */
export interface ExpectedBlocks {
  /** The first that does not lie here already, by its place in the request. */
  readonly from: number;
  /** How many do not. */
  readonly lacking: number;
  /** So many of those have come, and can be found. Once. */
  arrive(count: number): void;
}
