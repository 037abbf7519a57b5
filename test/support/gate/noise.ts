import type { GateAnswer } from "./answers.ts";
import type { GateAsk } from "./asks.ts";

/** One token of an answer beside the same place of the undisturbed one, with the same tokens before both. */
interface Beside {
  /** By how much the two likeliest tokens of the undisturbed run are apart there. */
  readonly gap: number;
  /** The largest difference of what both say of these two tokens. */
  readonly noise: number;
  readonly isOther: boolean;
}

/** What came of answers that were held to the undisturbed ones, token by token. */
export interface NoiseTally {
  places: number;
  /** Places at which another token was the likeliest. */
  others: number;
  /** The largest difference of a log-probability. */
  noise: number;
  /** Gaps of the undisturbed run at places with another token. */
  readonly gaps: number[];
}

/** Nothing was looked at. */
export function newNoise(): NoiseTally {
  return { places: 0, others: 0, noise: 0, gaps: [] };
}

/** Greedy, so that nothing but what was computed decides. */
export function forcedAsks(asks: readonly GateAsk[]): GateAsk[] {
  return asks.flatMap((ask) => {
    if (ask.adapter !== undefined || ask.guidance || (ask.choice ?? 0) > 0) return [];
    const { maxTokens = 1 } = ask.stopping ?? {};
    return [{ ...ask, sampling: { temperature: 0 }, stopping: { maxTokens, ignoreEos: true }, topLogprobs: 20 }];
  });
}

/**
 * Scores the undisturbed answer by another way: asks for it, and behind each token that is another one again with the
 * undisturbed tokens up to there as part of the prompt.
 */
export async function scoreForced(
  asked: { readonly ask: GateAsk; readonly wanted: GateAnswer },
  way: (ask: GateAsk) => Promise<GateAnswer>,
  tally: NoiseTally,
): Promise<void> {
  const { ask, wanted } = asked;
  for (let from = 0; from < wanted.tokens.length; ) {
    const prompt = Uint32Array.of(...ask.prompt, ...wanted.tokens.slice(0, from));
    const found = await way({ ...ask, prompt, stopping: { ...ask.stopping, maxTokens: wanted.tokens.length - from } });
    if (found.tokens.length === 0) throw new Error(`Nothing came: ${found.end}`);
    const other = found.tokens.findIndex((token, at) => token !== wanted.tokens[from + at]);
    const forced = other === -1 ? found.tokens.length : other + 1;
    for (let at = 0; at < forced; at++) note(tally, compare({ wanted, at: from + at }, { found, at }));
    from += forced;
  }
}

function compare(left: { wanted: GateAnswer; at: number }, right: { found: GateAnswer; at: number }): Beside {
  const [first, second] = left.wanted.top[left.at]!;
  const said = new Map(right.found.top[right.at]!.map(({ token, logprob }) => [token, logprob]));
  const apart = [first!, second!].map(({ token, logprob }) => Math.abs((said.get(token) ?? Number.NaN) - logprob));
  return {
    gap: first!.logprob - second!.logprob,
    noise: Math.max(...apart.filter((each) => !Number.isNaN(each)), 0),
    isOther: right.found.tokens[right.at] !== left.wanted.tokens[left.at],
  };
}

function note(tally: NoiseTally, { gap, noise, isOther }: Beside): void {
  tally.places++;
  tally.noise = Math.max(tally.noise, noise);
  if (!isOther) return;
  tally.others++;
  tally.gaps.push(gap);
}

/**
 * What is wrong with answers of another way, beside those of one worker in steps of another shape: another token where the
 * two likeliest are further apart than twice the noise, or more of them than the noise alone makes.
 */
export function noiseProblems(found: NoiseTally, control: NoiseTally): string[] {
  const problems: string[] = [];
  const far = found.gaps.filter((gap) => gap >= 2 * control.noise);
  if (far.length > 0) problems.push(`${far.length} other tokens where the likeliest are ${Math.max(...far)} apart`);
  // Both are counts of rare things: three deviations of their difference are chance.
  const expected = (control.others / control.places) * found.places;
  const chance = 3 * Math.sqrt(Math.max(1, expected) * (1 + found.places / control.places));
  if (found.others > expected + chance) problems.push(`${found.others} other tokens, and ${expected} by noise alone`);
  return problems;
}
