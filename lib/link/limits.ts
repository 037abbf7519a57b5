/** Revisions of the link protocol that this code speaks. */
export const LINK_REVISIONS = { minimum: 1, maximum: 1 } as const;

/** Bounds and periods of a link. Both sides have them; each uses what concerns it. */
export interface LinkLimits {
  /** Longest message that is sent or taken, in bytes of its encoding. */
  readonly maxMessageBytes: number;
  /** While more than this waits in the send buffer, the worker merges its steps. */
  readonly mergeAboveBytes: number;
  /** The worker ends a link whose caller lets more than this pile up unread. */
  readonly maxPendingBytes: number;
  /** Longest request that a worker gathers from parts, in bytes; text counts its UTF-16 units. */
  readonly maxInputBytes: number;
  /** What a worker holds of all requests that it gathers on one link, in bytes, with what keeping them costs. */
  readonly maxGatheredBytes: number;
  /** Requests that may be open on one link at a time. */
  readonly maxOpenHandles: number;
  /** Time for Hello, and for Welcome. */
  readonly helloTimeoutMs: number;
  /** How often the caller looks at the link and asks for a Pong. */
  readonly tickEveryMs: number;
  /** Suspect after a Ping was not answered for so long. */
  readonly pongTimeoutMs: number;
  /** Suspect after an accepted request made no progress for the larger of this and `stallSteps` median steps. */
  readonly stallFloorMs: number;
  /** See `stallFloorMs`: median steps of the last 64. */
  readonly stallSteps: number;
  /** Pings that may be unanswered at a time; more is a violation. */
  readonly maxUnansweredPings: number;
}

/** What every link uses unless told otherwise. */
export const LINK_LIMITS: LinkLimits = {
  maxMessageBytes: 256 * 1024,
  mergeAboveBytes: 256 * 1024,
  maxPendingBytes: 64 * 1024 * 1024,
  maxInputBytes: 16 * 1024 * 1024,
  maxGatheredBytes: 64 * 1024 * 1024,
  maxOpenHandles: 16_384,
  helloTimeoutMs: 5_000,
  tickEveryMs: 250,
  pongTimeoutMs: 2_000,
  stallFloorMs: 5_000,
  stallSteps: 20,
  maxUnansweredPings: 64,
};
