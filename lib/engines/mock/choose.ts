import { uniformDraw } from "#lib/tokens/draw";
import type { GenerateRequest } from "../engine.ts";
import { scramble } from "./memory.ts";
import type { MockWords } from "./words.ts";

/** Candidates of a made-up distribution; as many as the most likely ones that can be asked for. */
export const CANDIDATES = 20;

/** How far apart the logits of neighbouring candidates are. */
const LOGIT_STEP = 0.5;
/** Logit of a token that is no candidate, reached by a bias alone. */
const OUTSIDE_LOGIT = -30;
const SENTENCE_TOKENS = 12;
const LEAST_ANSWER_TOKENS = 24;

/** Where an answer is. */
export interface ChoosePoint {
  /** Whose settings shape the draw. */
  readonly request: GenerateRequest;
  /** A hash of everything before. */
  readonly state: number;
  /** Tokens of the answer before this one. */
  readonly generated: number;
  /** Those tokens, for penalties. */
  readonly answer: () => readonly number[];
}

/** A drawn token; log-probabilities where they were asked for, of the distribution before any shaping. */
export interface Choice {
  /** Its id. */
  readonly token: number;
  /** Of the token, before any shaping. */
  readonly logprob: number;
  /** The most likely candidates, most likely first. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

interface Candidate {
  readonly token: number;
  /** Before shaping. */
  readonly raw: number;
  logit: number;
}

/** The most likely token: a full stop or the end where a sentence has its end, a word elsewhere. */
function likeliest(words: MockWords, point: ChoosePoint): number {
  const { state, generated, request } = point;
  const { minTokens, ignoreEos } = request.stopping;
  const atSentenceEnd = generated > 0 && generated % SENTENCE_TOKENS === 0;
  const mayEnd = words.end !== undefined && !ignoreEos && generated >= Math.max(minTokens, LEAST_ANSWER_TOKENS);
  if (atSentenceEnd && mayEnd && (state & 3) === 0) return words.end!;
  if (generated % SENTENCE_TOKENS === SENTENCE_TOKENS - 1 && words.stop !== undefined) return words.stop;
  return words.words[(scramble(state) >>> 0) % words.words.length]!;
}

function candidatesOf(words: MockWords, point: ChoosePoint): Candidate[] {
  const tokens = [likeliest(words, point)];
  let at = scramble(point.state ^ 0x5bd1e995) >>> 0;
  while (tokens.length < CANDIDATES) {
    const token = words.words[at % words.words.length]!;
    const isNew = !tokens.includes(token);
    if (isNew) tokens.push(token);
    at += isNew ? 7 : 1;
  }
  return tokens.map((token, rank) => ({ token, raw: -LOGIT_STEP * rank, logit: -LOGIT_STEP * rank }));
}

/** Applies bias, penalties and the least length, and sorts by what comes out. */
function shape(candidates: Candidate[], point: ChoosePoint): void {
  const { sampling, stopping, promptTokens } = point.request;
  for (const [at, token] of sampling.biasTokens.entries()) {
    let candidate = candidates.find((each) => each.token === token);
    if (!candidate) {
      candidate = { token, raw: OUTSIDE_LOGIT, logit: OUTSIDE_LOGIT };
      candidates.push(candidate);
    }
    candidate.logit += sampling.biasValues[at]!;
  }
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = sampling;
  const hasPenalty = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0;
  const answer = hasPenalty ? point.answer() : [];
  for (const candidate of candidates) {
    if (point.generated < stopping.minTokens && stopping.stopTokens.includes(candidate.token)) {
      candidate.logit = Number.NEGATIVE_INFINITY;
    }
    if (!hasPenalty) continue;
    let count = 0;
    for (const token of answer) if (token === candidate.token) count++;
    if (count > 0 || promptTokens.includes(candidate.token)) candidate.logit -= Math.log(repetitionPenalty) * 4;
    candidate.logit -= frequencyPenalty * count + (count > 0 ? presencePenalty : 0);
  }
  candidates.sort((left, right) => right.logit - left.logit);
}

/** Draws by inversion over the sorted candidates, after top-k, top-p and min-p on softmax(logit / temperature). */
function draw(candidates: readonly Candidate[], point: ChoosePoint): Candidate {
  const { temperature, topK, topP, minP, seed } = point.request.sampling;
  const first = candidates[0]!;
  if (temperature <= 0) return first;
  const weights: number[] = [];
  let total = 0;
  const limit = topK > 0 ? Math.min(topK, candidates.length) : candidates.length;
  for (let at = 0; at < limit; at++) {
    const weight = Math.exp((candidates[at]!.logit - first.logit) / temperature);
    if (weight < minP) break;
    weights.push(weight);
    total += weight;
  }
  let kept = 0;
  let sum = 0;
  while (kept < weights.length && (kept === 0 || sum < topP * total)) sum += weights[kept++]!;
  let left = uniformDraw(seed, point.request.choice, point.generated) * sum;
  for (let at = 0; at < kept - 1; at++) {
    left -= weights[at]!;
    if (left < 0) return candidates[at]!;
  }
  return candidates[kept - 1]!;
}

function isPlain(point: ChoosePoint): boolean {
  const { sampling, stopping, topLogprobs } = point.request;
  const { temperature, repetitionPenalty, frequencyPenalty, presencePenalty, biasTokens } = sampling;
  const isShaped = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0 || biasTokens.length > 0;
  const mayNotStop = stopping.stopTokens.length > 0 && point.generated < stopping.minTokens;
  return temperature <= 0 && topLogprobs === undefined && !isShaped && !mayNotStop;
}

/** How likely a token is at a place, before any shaping, whatever would be drawn there. */
export function scoreToken(words: MockWords, point: ChoosePoint, token: number): Choice {
  const candidates = candidatesOf(words, point);
  const sum = candidates.reduce((all, { raw }) => all + Math.exp(raw), 0);
  const raw = candidates.find((each) => each.token === token)?.raw ?? OUTSIDE_LOGIT;
  const top = candidates.slice(0, point.request.topLogprobs ?? 0);
  return {
    token,
    logprob: raw - Math.log(sum),
    top: top.map((each) => ({ token: each.token, logprob: each.raw - Math.log(sum) })),
  };
}

/** The next token. It depends on the state, the place in the answer and the request's settings alone. */
export function chooseToken(words: MockWords, point: ChoosePoint): Choice {
  if (isPlain(point)) return { token: likeliest(words, point), logprob: 0, top: [] };
  const candidates = candidatesOf(words, point);
  const { topLogprobs } = point.request;
  const sum = topLogprobs === undefined ? 1 : candidates.reduce((all, { raw }) => all + Math.exp(raw), 0);
  const top = candidates.slice(0, topLogprobs ?? 0).map(({ token, raw }) => ({ token, logprob: raw - Math.log(sum) }));
  shape(candidates, point);
  const chosen = draw(candidates, point);
  return { token: chosen.token, logprob: chosen.raw - Math.log(sum), top };
}
