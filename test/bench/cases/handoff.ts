// What it costs to have prompts of the demo model computed elsewhere: two processes with an engine and an agent each.
//   node test/bench/cases/handoff.ts [NAME_PART]
import { fromBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import type { BlockStore } from "#lib/transfer/block-store";
import { openNative } from "../../support/engine-driver.ts";
import { addedAtP99, type EngineParty, type HeardStep, openEngineParty, quantile } from "../engine-party.ts";
import { median, Program, runCases, sleep, timed, volume } from "../harness.ts";
import { promptOf } from "../transfer-party.ts";

const PROMPT_TOKENS = 1024;
const nowMs = () => performance.now();
let seeds = 0;

/** Has a prompt computed there and brings it here. Returns how long the second took. */
async function bring({ agent }: EngineParty, prefill: Program): Promise<{ ms: number; prompt: Uint32Array }> {
  const seed = ++seeds;
  const kept = await prefill.ask<string>({ tokens: PROMPT_TOKENS, seed });
  const session = fromBinary(KvSessionSchema, Buffer.from(kept, "base64"));
  const prompt = promptOf(PROMPT_TOKENS, seed);
  const options = { signal: new AbortController().signal };
  const [ms, { report }] = await timed(nowMs, () => agent.fetch({ session }, prompt, options));
  if (report.reason !== "" || report.rung !== "shared-memory") throw new Error(`${report.rung}: ${report.reason}`);
  return { ms, prompt: prompt.tokens };
}

/** From the session to all blocks in the engine ÷ computing as many tokens; the same with the token that is drawn then. */
async function handOff(party: EngineParty, prefill: Program): Promise<object> {
  const passes: { ms: number; hitMs: number; coldMs: number }[] = [];
  for (let pass = 0; pass < volume(25, 2); pass++) {
    const { ms, prompt } = await bring(party, prefill);
    const [hitMs, { finish }] = await timed(nowMs, () => party.user.ask(prompt, 1));
    if (finish.cachedTokens === 0) throw new Error("what was brought is not used");
    const cold = promptOf(PROMPT_TOKENS, ++seeds).tokens;
    const [coldMs] = await timed(nowMs, () => party.user.ask(cold, 1));
    passes.push({ ms, hitMs, coldMs });
  }
  const warm = passes.slice(volume(3, 0));
  return {
    ratio: median(warm.map(({ ms, coldMs }) => ms / coldMs)),
    withTokenRatio: median(warm.map(({ ms, hitMs, coldMs }) => (ms + hitMs) / coldMs)),
    transferMs: median(warm.map(({ ms }) => ms)),
    recomputedMs: median(warm.map(({ coldMs }) => coldMs)),
  };
}

const STREAMS = 8;
/** Prompts that come in, one after the other, a second. */
const PER_SECOND = 3;

/** Streams decode while prompts come in. Returns the steps that were heard meanwhile. */
async function decodeBeside(party: EngineParty, prefill: Program, seconds: number): Promise<HeardStep[]> {
  let isOver = false;
  const stream = async (): Promise<void> => {
    while (!isOver) await party.user.ask(promptOf(64, ++seeds).tokens, 200);
  };
  const streams = Array.from({ length: STREAMS }, stream);
  party.user.steps.length = 0;
  for (const endMs = nowMs() + seconds * 1000; nowMs() < endMs; ) {
    await Promise.all([bring(party, prefill), sleep(1000 / PER_SECOND)]);
  }
  const steps = party.user.steps.splice(0);
  isOver = true;
  await Promise.all(streams);
  return steps;
}

/** Times between the steps of streams that decode: what a client sees between two tokens. */
function gapsOf(steps: readonly HeardStep[]): number[] {
  return steps.slice(1).flatMap(({ atMs, decodeSequences }, at) => {
    return decodeSequences > 0 ? [atMs - steps[at]!.atMs] : [];
  });
}

/** Takes the bytes of what comes in and forgets them. */
class Discarding implements BlockStore {
  isOn = false;
  readonly #store: BlockStore;

  constructor(store: BlockStore) {
    this.#store = store;
  }

  get places() {
    return this.#store.places;
  }

  count(hashes: BigUint64Array): number {
    return this.#store.count(hashes);
  }

  pin(hashes: BigUint64Array) {
    return this.#store.pin(hashes);
  }

  read(...ask: Parameters<BlockStore["read"]>) {
    return this.#store.read(...ask);
  }

  open(wanted: Parameters<BlockStore["open"]>[0]) {
    if (!this.isOn) return this.#store.open(wanted);
    let arrived = 0;
    const write = async (payloads: readonly Uint8Array[]) => {
      arrived += payloads.length;
      return payloads.length;
    };
    return { from: 0, write, close: () => arrived };
  }
}

/** What imports and exports add to the steps beside them, and what imports add to the time between tokens. */
async function beside(party: EngineParty, prefill: Program, discarding: Discarding): Promise<object> {
  const seconds = volume(1.5, 1);
  await decodeBeside(party, prefill, 1);
  await prefill.ask({ added: true });
  const [imported, discarded]: [HeardStep[], HeardStep[]] = [[], []];
  const ratios = { p50: [] as number[], p99: [] as number[] };
  for (let turn = 0; turn < volume(20, 1); turn++) {
    discarding.isOn = false;
    const [kept, keptGaps] = await decodeBeside(party, prefill, seconds).then(
      (steps) => [steps, gapsOf(steps)] as const,
    );
    discarding.isOn = true;
    const lost = await decodeBeside(party, prefill, seconds);
    const lostGaps = gapsOf(lost);
    imported.push(...kept);
    discarded.push(...lost);
    ratios.p50.push(quantile(keptGaps, 0.5) / quantile(lostGaps, 0.5));
    ratios.p99.push(quantile(keptGaps, 0.99) / quantile(lostGaps, 0.99));
  }
  const exports = await prefill.ask<number>({ added: true });
  const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
  return {
    importAddedP99: addedAtP99(imported),
    exportAddedP99: exports,
    itlRatio: median(ratios.p50),
    itlP99Ratio: median(ratios.p99),
    importShareOfAll: sum(imported.map(({ importUs }) => importUs)) / sum(imported.map(({ durationUs }) => durationUs)),
    steps: imported.length,
  };
}

async function withBoth(run: (party: EngineParty, prefill: Program, store: Discarding) => Promise<object>) {
  const native = openNative();
  if (native.reason !== undefined) return { skipped: native.reason };
  const prefill = new Program("handoff-prefill.ts");
  try {
    await prefill.heard();
    let discarding: Discarding | undefined;
    const party = await openEngineParty(2n, (store) => (discarding = new Discarding(store)));
    return await run(party, prefill, discarding!);
  } finally {
    prefill.end();
  }
}

await runCases({
  "handoff/1024-tokens": () => withBoth(handOff),
  "handoff/beside-decodes": () => withBoth(beside),
});
process.exit(0);
