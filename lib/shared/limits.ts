/** What a process bounds of the memory that it shares with clients. */
export interface SharedLimits {
  /** Regions that are open: those that are registered, and those that are not any more and still in use. */
  readonly regions: number;
  /** Their lengths together, in bytes. None of it is memory of this process. */
  readonly regionBytes: number;
  /** Inputs in regions of one request together, in bytes. */
  readonly requestBytes: number;
  /** Copies of inputs that are held for requests that have not ended, over all of them, in bytes. */
  readonly copiedBytes: number;
}

/** The limits when nothing else is asked for. */
export const SHARED_LIMITS: SharedLimits = {
  regions: 1024,
  regionBytes: 64 * 1024 * 1024 * 1024,
  requestBytes: 256 * 1024 * 1024,
  copiedBytes: 1024 * 1024 * 1024,
};
