/** One way in which an engine breaks openengine.v1, and the check that names it. */
export interface EngineFault {
  /** As a switch takes it. */
  readonly name: string;
  /** What a broken engine does, after "it". */
  readonly does: string;
  /** Name of the check that fails with it. */
  readonly check: string;
}

/** Faults that engines have had. A practice engine of any language has a switch for each, and fails the check beside it. */
export const ENGINE_FAULTS = [
  { name: "double-terminal", does: "ends a sequence twice", check: "ends each sequence once" },
  {
    name: "token-after-terminal",
    does: "sends a token after the end of its sequence",
    check: "says nothing of a sequence after its end",
  },
  { name: "cumulative", does: "sends the whole answer in each message", check: "sends deltas, never the whole" },
  {
    name: "cancel-ignored",
    does: "goes on when its caller went away",
    check: "frees a request whose caller went away",
  },
  {
    name: "cancel-ends-others",
    does: "ends every request when one is cancelled",
    check: "ends nobody else's request with a cancel",
  },
  { name: "usage-wrong", does: "counts one token too many", check: "counts the tokens that it gave" },
  { name: "event-gap", does: "leaves out every third batch of events", check: "numbers its batches one by one" },
  {
    name: "unknown-parent",
    does: "names parents that it never stored",
    check: "names parents that it has told of",
  },
  {
    name: "ids-as-doubles",
    does: "rounds names of blocks to doubles",
    check: "names blocks exactly, beyond 2^53 too",
  },
  {
    name: "reply-after-drain",
    does: "answers new requests while it drains",
    check: "takes nothing new while it drains",
  },
  {
    name: "ready-before-load",
    does: "says that it is ready while it loads",
    check: "is ready only when it takes requests",
  },
  { name: "error-without-detail", does: "refuses without a word", check: "says why it refuses" },
  { name: "deadline-ignored", does: "goes on beyond the deadline", check: "ends a request at its deadline" },
  {
    name: "index-0-dropped",
    does: "leaves output_index out where it is 0",
    check: "names output_index always, for 0 as well",
  },
  {
    name: "unbounded-buffer",
    does: "keeps everything for a caller that does not read",
    check: "keeps little for a caller that does not read",
  },
  {
    name: "silent-truncation",
    does: "ends a long answer after 100 tokens as if it were whole",
    check: "gives every token that was asked for",
  },
] as const satisfies readonly EngineFault[];

/** Names of the faults. */
export type EngineFaultName = (typeof ENGINE_FAULTS)[number]["name"];
