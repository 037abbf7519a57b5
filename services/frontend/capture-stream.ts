import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CapturedDecisionSchema,
  CapturedPromptSchema,
  CapturedRankSchema,
  CaptureHeaderSchema,
  CaptureRequest,
  CaptureResponseSchema,
} from "#gen/stator/router/v1/router_pb";
import { viewBytes } from "#lib/base/bytes";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Capture, CapturedPrompt, CaptureLimits } from "#lib/routing/capture/capture";
import type { CapturedDecision } from "#lib/routing/capture/captured-decision";
import type { CapturedRank } from "#lib/routing/capture/captured-rank";
import type { RuleRouter } from "#lib/routing/rule-router";
import { COLUMNS } from "#lib/routing/rules/candidates";
import { HASH_SCHEME } from "#lib/tokens/block-hash";

/** Whose decisions are told. All is borrowed. */
export interface CaptureStreamParts {
  /** Of this frontend. */
  readonly router: Pick<RuleRouter, "capture" | "ranks" | "chooses">;
  /** Of its states, and of when it began. */
  readonly clock: Clock;
  /** Of this frontend. */
  readonly version: string;
  /** Bounds of a capture that differ from the usual ones. */
  readonly captureLimits?: Partial<CaptureLimits>;
}

type Content = NonNullable<MessageInitShape<typeof CaptureResponseSchema>["content"]>;

/** How often it is told how a capture stands. */
const STATE_MS = 1_000;
/** Tokens of a block where no worker says. */
const USUAL_BLOCK_TOKENS = 16;
const MOST_BLOCK_TOKENS = 65_536;

/** What is decided from now on, until the signal aborts. Throws OVERLOADED, and INVALID_ARGUMENT for blocks that cannot be. */
export async function* streamCapture(
  { decisions, blockTokens: asked }: CaptureRequest,
  signal: AbortSignal,
  parts: CaptureStreamParts,
): AsyncGenerator<{ content: Content }> {
  const { router, clock, captureLimits } = parts;
  if (asked > MOST_BLOCK_TOKENS) {
    throw new StatorError("INVALID_ARGUMENT", { detail: `block_tokens: expected at most ${MOST_BLOCK_TOKENS}` });
  }
  const known = router.ranks.find(({ fleet }) => fleet.scope)?.fleet.scope?.blockTokens;
  const blockTokens = asked || known || USUAL_BLOCK_TOKENS;
  const capture = router.capture({ decisions, blockTokens, ...(captureLimits && { limits: captureLimits }) });
  const pulse = new Pulse(clock, capture, signal);
  try {
    yield { content: { case: "header", value: printHeader(parts, blockTokens) } };
    while (!signal.aborted) {
      if (pulse.isDue) {
        yield { content: { case: "state", value: pulse.state() } };
        continue;
      }
      const prompt = capture.take();
      if (prompt) yield { content: { case: "prompt", value: printPrompt(prompt) } };
      else await pulse.wait();
    }
  } finally {
    pulse.close();
    capture.close();
  }
}

/** Wakes whoever sends when there is something to send. */
class Pulse {
  readonly #clock: Clock;
  readonly #capture: Capture;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#wake();
  #timer: Timer;
  #wake: () => void = () => {};
  /** It is time to tell how the capture stands. */
  isDue = false;

  constructor(clock: Clock, capture: Capture, signal: AbortSignal) {
    this.#clock = clock;
    this.#capture = capture;
    this.#signal = signal;
    this.#timer = this.#next();
    capture.onNews = () => this.#wake();
    signal.addEventListener("abort", this.#onAbort);
  }

  /** How the capture stands; the next time is later. */
  state(): { open: bigint; lost: bigint; leftOut: bigint } {
    this.isDue = false;
    this.#timer.cancel();
    this.#timer = this.#next();
    const { open, ready, lost, leftOut } = this.#capture;
    return { open: BigInt(open + ready), lost: BigInt(lost), leftOut: BigInt(leftOut) };
  }

  /** Until there is a prompt, a state is due, or nobody wants either. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  close(): void {
    this.#timer.cancel();
    this.#signal.removeEventListener("abort", this.#onAbort);
  }

  #next(): Timer {
    return this.#clock.after(STATE_MS, () => {
      this.isDue = true;
      this.#wake();
    });
  }
}

function printHeader(
  { router, clock, version }: CaptureStreamParts,
  blockTokens: number,
): MessageInitShape<typeof CaptureHeaderSchema> {
  const { rule, constants } = router.chooses;
  const set = Object.entries(constants).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return {
    ...{ version, blockTokens, rule, hashScheme: HASH_SCHEME, columns: [...COLUMNS] },
    startedUnixMs: BigInt(Math.round(clock.unixMs())),
    constants: Object.fromEntries(set),
    ranks: router.ranks.map(printRank),
  };
}

function printRank({
  fleet,
  rank,
  rule,
  times,
  timedPasses,
}: CapturedRank): MessageInitShape<typeof CapturedRankSchema> {
  const { worker, weights, scope, totalBlocks, maxRunningRequests, reuseTokens } = fleet;
  return {
    ...{ worker, rank, weights, rule, times, maxRunningRequests, blockTokens: scope?.blockTokens },
    reuseTokens,
    totalBlocks: totalBlocks === undefined ? undefined : BigInt(totalBlocks),
    timedPasses: BigInt(timedPasses),
  };
}

function printPrompt(prompt: CapturedPrompt): MessageInitShape<typeof CapturedPromptSchema> {
  const { number, openFrom, hashes, answers, kept, decision, ...rest } = prompt;
  const { rule, ask, predictedMs, predictedTokens, seenMs, seenTokens } = kept;
  return {
    ...rest,
    ...{ number: BigInt(number), openFrom: BigInt(openFrom), sequenceHashes: viewBytes(hashes), rule },
    ...{ answerTokens: [...answers], session: ask.session },
    predicted: { firstTokenMs: predictedMs, cachedTokens: predictedTokens },
    seen: { firstTokenMs: seenMs, cachedTokens: seenTokens },
    decision: decision && printDecision(decision),
  };
}

function printDecision(decision: CapturedDecision): MessageInitShape<typeof CapturedDecisionSchema> {
  const { ask, draws, isHeld, workers, columns, times, timesOf, chosen } = decision;
  return {
    ...{ blockTokens: ask.blockTokens, turn: BigInt(ask.turn), answerTokens: ask.answerTokens, held: isHeld, chosen },
    ...{ draws: viewBytes(draws), workers: viewBytes(workers), columns: viewBytes(columns) },
    ...{ times: [...times], timesOf: [...timesOf] },
  };
}
