// A whole choice of the router, from the ask to the answer: a prompt of 8,192 tokens over 64 workers that hold parts of it
// and have something to do, each ended at once. Beside XXH3 over the prompt's blocks, once, by the addon.
//   node test/bench/cases/choice.ts [NAME_PART]
import { loadNative } from "#lib/native/addon";
import { RunIndex } from "#lib/routing/index/run-index";
import type { RuleName } from "#lib/routing/rules/table";
import { type ContentHasher, TokenHasher } from "#lib/tokens/block-hash";
import { BLOCK, fleetWorker, RoutingRig, routeAskOf } from "../../support/routing-rig.ts";
import { median, runCases, volume } from "../harness.ts";

const WORKERS = 64;
const TOKENS = 8_192;
/** Tokens that all prompts begin with, and prompts of each worker. */
const SHARED_TOKENS = 2_048;
const PROMPTS = 64;
const HELD_PROMPTS = 8;
/** Prompts that are under way meanwhile. */
const OPEN = 256;
const WARM = volume(1_000, 100);
const CHOICES = volume(3_000, 100);

const prompts = Array.from({ length: PROMPTS }, (_, kind) =>
  Uint32Array.from({ length: TOKENS }, (__, at) => (at < SHARED_TOKENS ? at : kind * 100_000 + at)),
);
const times = { passMs: 5, prefillTokenMs: 0.05, prefillContextMs: 1e-6, decodeSequenceMs: 0.1, passTokens: 2_048 };

function fill(rule: RuleName, hasher: ContentHasher, stepBlocks: number): RoutingRig {
  const workers = Array.from({ length: WORKERS }, (_, at) => fleetWorker(BigInt(at + 1), { times }));
  const openIndex = () => new RunIndex({ budgetBytes: 256 << 20 });
  const rig = new RoutingRig(workers, { rule, hasher, stepBlocks, openIndex });
  for (let worker = 1; worker <= WORKERS; worker++) {
    for (let held = 0; held < HELD_PROMPTS; held++) rig.store(BigInt(worker), prompts[(worker * 3 + held) % PROMPTS]!);
  }
  for (let open = 0; open < OPEN; open++) {
    const { ticket } = rig.place(routeAskOf(prompts[open % PROMPTS]!));
    ticket.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    if (open % 2 === 0) ticket.note({ kind: "first token", choice: 0 });
  }
  return rig;
}

/** Microseconds of a choice and of the base, in turn: medians. */
function measure(rig: RoutingRig, base: () => void): { readonly oursUs: number; readonly baseUs: number } {
  const [ours, bases]: [number[], number[]] = [[], []];
  const timed = (call: () => void): number => {
    const from = process.hrtime.bigint();
    call();
    return Number(process.hrtime.bigint() - from) / 1_000;
  };
  for (let turn = 0; turn < WARM + CHOICES; turn++) {
    const ask = routeAskOf(prompts[turn % PROMPTS]!);
    let cancel = () => {};
    const choiceUs = timed(() => {
      const { ticket } = rig.place(ask);
      cancel = () => ticket.cancel();
    });
    cancel();
    const baseUs = timed(base);
    if (turn < WARM) continue;
    ours.push(choiceUs);
    bases.push(baseUs);
  }
  return { oursUs: median(ours), baseUs: median(bases) };
}

const loaded = loadNative();
const { addon } = loaded;

function compare(rule: RuleName) {
  if (!addon) throw new Error("the addon is not built");
  const local = new BigUint64Array(TOKENS / BLOCK);
  const [prompt] = prompts;
  const base = () => addon.hashContents(prompt!, BLOCK, 0, 1_337n, 0, local.length, local);
  const native = measure(fill(rule, addon, 128), base);
  const script = measure(fill(rule, new TokenHasher(), 32), base);
  return {
    ratio: native.oursUs / native.baseUs,
    scriptRatio: script.oursUs / script.baseUs,
    ...native,
  };
}

await runCases({
  "choice/ttft/8k/64-workers": () => compare("ttft"),
  "choice/dynamo/8k/64-workers": () => compare("dynamo"),
  "choice/power-of-two/8k/64-workers": () => compare("power-of-two"),
});
