/**
 * What one rank of a worker has to do, as far as this router knows: what it placed there itself, joined with what the
 * worker's last step record tells of other callers' requests, nothing counted twice. The record's part counts whole for two
 * seconds, and then half as much after each two seconds more; this router's own stays until its streams end.
 */
export interface RankLoad {
  /** Prompt tokens that are still to be computed there: placed ones less what was cached, until their first token. Choices of one prompt share it. */
  readonly prefillTokens: number;
  /** The same with what was cached: as the reference counts them. */
  readonly rawPrefillTokens: number;
  /** Of `prefillTokens`, what passes have computed already of prompts that have no first token yet. */
  readonly startedTokens: number;
  /** Of `prefillTokens`, what was left to compute when the pass that runs began: it computes of these as many as it can. 0 while others can still join it. */
  readonly passingTokens: number;
  /** Milliseconds since the pass that runs began, as far as its worker's records and this router's requests say; 0 where it is idle. */
  readonly passingMs: number;
  /** Distinct KV blocks of the requests there, prompts and answers. */
  readonly activeBlocks: number;
  /** Requests there that have not ended, waiting ones among them. */
  readonly openRequests: number;
  /** Of those, requests that wait at the worker, as it said last and as far as that still counts. */
  readonly waitingRequests: number;
  /** Requests that have had their first token and have not ended. */
  readonly decodeSequences: number;
  /** Tokens of their contexts. */
  readonly decodeContextTokens: number;
  /** Blocks of its pool in use by requests, as it said last; 0 before. */
  readonly usedBlocks: number;
  /** It keeps as much for others as it may, as it said last: it says at once when there is room again. */
  readonly sessionsFull: boolean;
  /** Blocks of its pool; 0 where nobody knows. */
  readonly totalBlocks: number;
  /** Share of time that went into prompts, 0 to 1, over some four seconds (what was counts 1 ÷ e after them): u of β = u ÷ (1 − u). */
  readonly prefillUtilisation: number;
  /** Tokens that it computed in a second, prompts and answers, over the same time; 0 before anything was seen. */
  readonly tokensPerSecond: number;
  /** Milliseconds since its last step record; undefined before the first. */
  readonly ageMs: number | undefined;
}
