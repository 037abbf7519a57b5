/** Bounds of a router's own memory. */
export interface RoutingLimits {
  /** Sessions that hold on to a worker; of more, one that was not used for long is forgotten. */
  readonly sessions: number;
  /** Decisions that can be explained. */
  readonly decisions: number;
  /** Candidates of all of them together: 280 bytes each. */
  readonly candidates: number;
  /** Candidates that are kept of one decision. */
  readonly candidatesOfOne: number;
  /** Captures side by side. */
  readonly captures: number;
}

/** What a router gets unless told otherwise. */
export const ROUTING_LIMITS: RoutingLimits = {
  sessions: 65_536,
  decisions: 4_096,
  candidates: 32_768,
  candidatesOfOne: 256,
  captures: 4,
};
