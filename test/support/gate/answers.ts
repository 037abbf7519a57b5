import { StatorError } from "#lib/base/errors";
import type { Answer, EngineClient } from "../../conformance/engine-rig.ts";
import type { GateAsk } from "./asks.ts";

/** What a caller sees of one request, wherever its parts were computed. */
export interface GateAnswer extends Pick<Answer, "tokens" | "chosen" | "top"> {
  /** Why it ended, or why it was refused. */
  readonly end: string;
  /** Of the prompt. */
  readonly cachedTokens: number;
}

/** A way by which answers come about. */
export type Way = (ask: GateAsk, at: number) => Promise<GateAnswer>;

/** All of it by one engine. */
export function aggregated(client: EngineClient): Way {
  return async (ask) => answerOf(await client.ask(ask));
}

/** What a caller sees of what an engine said. */
export function answerOf({ tokens, chosen, top, finish }: Answer): GateAnswer {
  return { tokens, chosen, top, end: finish.reason, cachedTokens: finish.cachedTokens };
}

/** One answer of two parts. */
export function joined(first: GateAnswer, rest: GateAnswer): GateAnswer {
  return {
    tokens: [...first.tokens, ...rest.tokens],
    chosen: [...first.chosen, ...rest.chosen],
    top: [...first.top, ...rest.top],
    end: rest.end,
    cachedTokens: first.cachedTokens,
  };
}

/** Asks all of them, so many at once; one that is refused is answered by its reason. */
export async function askAll(asks: readonly GateAsk[], width: number, way: Way): Promise<GateAnswer[]> {
  const answers: GateAnswer[] = [];
  let next = 0;
  const caller = async () => {
    for (let at = next++; at < asks.length; at = next++) answers[at] = await way(asks[at]!, at).catch(refusal);
  };
  await Promise.all(Array.from({ length: width }, caller));
  return answers;
}

function refusal(error: unknown): GateAnswer {
  if (!(error instanceof StatorError)) throw error;
  return { tokens: [], chosen: [], top: [], end: `refused: ${error.reason}`, cachedTokens: 0 };
}

/** Bits of tokens and log-probabilities, one line a token, from one of the tokens on. */
export function bitsOf({ tokens, chosen, top }: Pick<Answer, "tokens" | "chosen" | "top">, from = 0): string {
  const row = (at: number) => {
    const likely = (top[at] ?? []).map(({ token, logprob }) => `${token}:${bits(logprob)}`);
    return [tokens[at], bits(chosen[at] ?? 0), ...likely].join(" ");
  };
  return tokens
    .slice(from)
    .map((_, at) => row(from + at))
    .join("\n");
}

function bits(value: number): string {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!.toString(16);
}

/** Places of the answers that a caller could tell apart. */
export function differences(found: readonly GateAnswer[], wanted: readonly GateAnswer[]): number[] {
  const places: number[] = [];
  for (const [at, answer] of wanted.entries()) {
    const other = found[at]!;
    if (other.end !== answer.end || bitsOf(other) !== bitsOf(answer)) places.push(at);
  }
  return places;
}
