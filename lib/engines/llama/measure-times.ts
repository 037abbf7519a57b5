import type { ContextOptions } from "#lib/native/context";
import type { Model } from "#lib/native/llama";
import type { PassRecord, TimePrior } from "#lib/perf/time-model";
import { NO_TIME } from "#lib/perf/time-prior";
import { type Line, someTokens, Trial } from "./trial.ts";

const WARM_TOKENS = 8;
const PROMPT_TOKENS = 64;
const SHORT_TOKENS = 8;
const SLOTS = 3;
const DECODED = 3;
/** From so many tokens on a context is a long one. */
const LONG_TOKENS = 256;

/**
 * Times passes of a model that was loaded and that no other probe has tried: a prompt, short ones, one sequence and three
 * that decode. It computes about 90 rows, as much as a short chat. Rejects as `openContext` does.
 */
export async function timePasses(
  model: Model,
  options: Pick<ContextOptions, "threads" | "kvTypeK" | "kvTypeV">,
): Promise<PassRecord[]> {
  const passes: PassRecord[] = [];
  const cellTokens = SLOTS * (PROMPT_TOKENS + DECODED + 1);
  const room = { cellTokens, maxSequences: SLOTS, maxBatchTokens: PROMPT_TOKENS };
  const trial = await Trial.open(model, { ...options, ...room, onPass: (pass) => passes.push(pass) });
  try {
    const lines: Line[] = [];
    for (const tokens of [WARM_TOKENS, PROMPT_TOKENS, SHORT_TOKENS]) {
      const line = await trial.begin(lines.length, someTokens(tokens, model.vocabSize));
      await trial.step([line, tokens]);
      lines.push(line);
    }
    const [, long] = lines;
    for (let at = 0; at < DECODED; at++) await trial.step([long!, 1]);
    for (let at = 0; at < DECODED; at++) await trial.step(...lines.map((line) => [line, 1] as const));
    return passes;
  } finally {
    trial.context.close();
  }
}

/** The least of what passes took, each divided by what is counted in it; undefined when there is no pass. */
function leastMs(passes: readonly PassRecord[], countOf: (pass: PassRecord) => number): number | undefined {
  const each = passes.map((pass) => pass.durationUs / 1000 / countOf(pass));
  return each.length > 0 ? Math.min(...each) : undefined;
}

const once = () => 1;

/** What each token of a context adds to a lone sequence that decodes, where it was tried behind a long and a short one. */
function contextMsOf(alone: readonly PassRecord[]): number {
  const [short, long] = [alone.filter((pass) => !isLong(pass)), alone.filter(isLong)];
  const [shortMs, longMs] = [leastMs(short, once), leastMs(long, once)];
  if (shortMs === undefined || longMs === undefined) return 0;
  const tokens = long[0]!.decodeContextTokens - short[0]!.decodeContextTokens;
  return Math.max(0, (longMs - shortMs) / tokens);
}

function isLong({ decodeContextTokens }: PassRecord): boolean {
  return decodeContextTokens >= LONG_TOKENS;
}

/**
 * What passes of a trial say of all passes, with so many tokens at most: by the fastest of a kind, since what else runs on a
 * machine while a model loads only adds to them. A prompt token takes its share of the fastest longer prompt, what is
 * fixed of it included; what a sequence takes beside others is seen behind short contexts. undefined without a prompt or
 * without decoding.
 */
export function timesFrom(passes: readonly PassRecord[], passTokens: number): TimePrior | undefined {
  const longest = Math.max(...passes.map(({ prefillTokens }) => prefillTokens));
  const isPrompt = (pass: PassRecord) => pass.decodeSequences === 0 && 2 * pass.prefillTokens > longest;
  const prefillTokenMs = leastMs(passes.filter(isPrompt), ({ prefillTokens }) => prefillTokens);
  const decoding = passes.filter(({ prefillTokens }) => prefillTokens === 0);
  const alone = decoding.filter(({ decodeSequences }) => decodeSequences === 1);
  const aloneMs = leastMs(alone, once);
  if (prefillTokenMs === undefined || aloneMs === undefined) return undefined;
  const beside = decoding.filter(({ decodeSequences }) => decodeSequences === SLOTS);
  const besideMs = leastMs(beside, once) ?? aloneMs;
  const decodeSequenceMs = Math.min(aloneMs, Math.max(0, (besideMs - aloneMs) / (SLOTS - 1)));
  const decode = { decodeMs: aloneMs - decodeSequenceMs, decodeSequenceMs, decodeContextMs: contextMsOf(alone) };
  return { ...NO_TIME, prefillTokenMs, ...decode, passTokens };
}
