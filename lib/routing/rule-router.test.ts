import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { NO_TIME } from "#lib/perf/time-prior";
import { type ContentHasher, TokenHasher } from "#lib/tokens/block-hash";
import {
  BLOCK,
  errorOf,
  fleetWorker,
  promptOf,
  RoutingRig,
  routeAskOf,
  shownAnswer,
  workersOf,
} from "../../test/support/routing-rig.ts";
import { MIN_BUDGET_BYTES, RunIndex } from "./index/run-index.ts";
import type { RouterMode } from "./options.ts";
import type { RouteAsk, Ticket } from "./router.ts";

const TWO = [fleetWorker(1n), fleetWorker(2n)];
const THREE = [...TWO, fleetWorker(3n)];

describe("a router by prefixes", () => {
  it("sends a prompt to who has the most of it, as long as waiting costs less", () => {
    const rig = new RoutingRig(TWO);
    const prompt = promptOf(1, 20);
    rig.store(2n, prompt);
    expect(shownAnswer(rig.place(routeAskOf(prompt)).answer)).toEqual(["2: 0, ttft, 2 ms, 320 tokens cached, of 2"]);
    // Two new prompts of 400 tokens wait there by then: 800 ms are more than twice the 320 that it saves.
    rig.place(routeAskOf(promptOf(2, 24, 16), { target: { worker: 2n, rank: undefined } }));
    expect(workersOf(rig.place(routeAskOf(prompt)).answer)).toEqual([2n]);
    rig.place(routeAskOf(promptOf(3, 24, 16), { target: { worker: 2n, rank: undefined } }));
    expect(workersOf(rig.place(routeAskOf(prompt)).answer)).toEqual([1n]);
  });

  it("goes by what a worker's card says of its speed, though its record came before", () => {
    const early = fleetWorker(2n, { prior: undefined, scope: undefined, why: "It has no model card." });
    const rig = new RoutingRig([fleetWorker(1n), early]);
    const times = () => rig.router.explainAsk(routeAskOf(promptOf(1, 2)))[0]!.candidates.map((each) => each.timesKnown);
    expect(times()).toContain(false);
    const quick = fleetWorker(2n, { times: { prefillTokenMs: 0.5 } });
    rig.router.follow(new Map([fleetWorker(1n), quick].map((each) => [each.worker, each])));
    expect(times()).toEqual([true, true]);
    expect(workersOf(rig.place(routeAskOf(promptOf(2, 2))).answer)).toEqual([2n]);
  });

  it("knows that who keeps less of a prompt than whole blocks computes it in chunks", () => {
    const foreseen = (reuseTokens: number, scope = fleetWorker(1n).scope) => {
      const prior = { ...NO_TIME, passMs: 10, prefillTokenMs: 1, passTokens: 1_000 };
      const rig = new RoutingRig([fleetWorker(1n, { reuseTokens, scope, prior })]);
      return rig.router.explainAsk(routeAskOf(promptOf(1, 6, 4)))[0]?.predicted.firstTokenMs;
    };
    // 100 tokens: 64 and 36.
    expect([foreseen(BLOCK), foreseen(1), foreseen(64), foreseen(128)]).toEqual([110, 110, 120, 110]);
  });

  it("counts what is reused in whole grains, and never the whole prompt", () => {
    const rig = new RoutingRig([fleetWorker(1n, { reuseTokens: 64 }), fleetWorker(2n, { reuseTokens: 1 })]);
    const prompt = promptOf(1, 12, 0);
    rig.store(1n, prompt.subarray(0, 11 * BLOCK));
    const cached = (worker: bigint, of = prompt) => {
      const target = { worker, rank: undefined };
      const [explanation] = rig.router.explainAsk(routeAskOf(of, { target }));
      return explanation?.candidates[0]?.deviceTokens;
    };
    expect(cached(1n)).toBe(128);
    rig.store(1n, prompt);
    expect(cached(1n)).toBe(128);
    rig.store(2n, prompt);
    expect(cached(2n)).toBe(191);
    expect(cached(2n, promptOf(1, 0, 1))).toBe(0);
  });

  it("keeps prompts of another salt, adapter or weight set apart", () => {
    const rig = new RoutingRig([fleetWorker(1n), fleetWorker(2n, { weights: "other" })]);
    const prompt = promptOf(1, 8);
    rig.store(1n, prompt, { salt: "tenant" });
    rig.store(2n, prompt);
    const best = (more: Partial<RouteAsk>) => rig.router.explainAsk(routeAskOf(prompt, more))[0]?.candidates[0];
    expect(best({ salt: "tenant" })).toMatchObject({ worker: 1n, deviceTokens: 128 });
    expect(best({})).toMatchObject({ worker: 2n, deviceTokens: 128 });
    expect(best({ adapter: "a" })?.deviceTokens).toBe(0);
    expect(best({ salt: "else" })?.deviceTokens).toBe(0);
  });

  it("takes nothing for reused that is computed whole", () => {
    const rig = new RoutingRig(TWO);
    const prompt = promptOf(1, 8);
    rig.store(1n, prompt);
    for (const kind of ["embed", "encode", "score"] as const) {
      expect(rig.router.explainAsk(routeAskOf(prompt, { kind }))[0]?.predicted.cachedTokens).toBe(0);
    }
    expect(rig.router.explainAsk(routeAskOf(prompt, { kind: "prefill" }))[0]?.predicted.cachedTokens).toBe(128);
    const tensor = rig.place(routeAskOf(new Uint32Array(0), { kind: "tensor", prompts: [] }));
    expect(workersOf(tensor.answer)).toHaveLength(1);
  });

  it("hashes nothing for a rule that looks at no prefix, and foretells nothing", () => {
    const hasher = new TokenHasher();
    let hashed = 0;
    const counting: ContentHasher = {
      hashContents(...given) {
        hashed++;
        hasher.hashContents(...given);
      },
    };
    for (const mode of ["kv", "power-of-two"] as const) {
      const rig = new RoutingRig(TWO, { mode, hasher: counting });
      const { ticket } = rig.place(routeAskOf(promptOf(1, 8)));
      ticket.note({ kind: "accepted", choice: 0, cachedTokens: 5 });
      const known =
        mode === "kv" ? { firstTokenMs: 129, cachedTokens: 0 } : { firstTokenMs: undefined, cachedTokens: undefined };
      expect(rig.router.explain("r")[0]).toMatchObject({ predicted: known, seen: { cachedTokens: 5 } });
      expect(hashed).toBe(mode === "kv" ? 1 : 0);
      hashed = 0;
    }
  });

  it("expects a prompt where it sent it, so that siblings in a burst follow", () => {
    const prompt = promptOf(1, 4);
    const rig = new RoutingRig(TWO, { predictedTtlMs: 5_000 });
    const expected = () => {
      const found = rig.router.explainAsk(routeAskOf(prompt))[0]!.candidates;
      return found.reduce((sum, { deviceTokens }) => sum + deviceTokens, 0);
    };
    const { answer, ticket } = rig.place(routeAskOf(prompt));
    expect(expected()).toBe(64);
    // Its prompt is computed: what it waited for costs nothing more.
    ticket.note({ kind: "first token", choice: 0 });
    expect(workersOf(rig.place(routeAskOf(prompt)).answer)).toEqual(workersOf(answer));
    rig.clock.advance(4_999);
    expect(expected()).toBe(64);
    rig.clock.advance(1);
    expect(expected()).toBe(0);
    const none = new RoutingRig(TWO, { predictedTtlMs: 0 });
    none.place(routeAskOf(prompt));
    expect(none.router.explainAsk(routeAskOf(prompt))[0]?.predicted.cachedTokens).toBe(0);
  });

  it("places prompts one by one, each knowing of those before, and the choices of one together", () => {
    const rig = new RoutingRig(THREE);
    const prompts = [promptOf(1, 8), promptOf(2, 8), promptOf(3, 8)];
    const { answer } = rig.place(
      routeAskOf(prompts[0]!, { prompts, choices: [0, 1, 2, 3, 4, 5], choicesPerPrompt: 2 }),
    );
    expect(answer.kind === "placed" && answer.places.map(({ choices }) => choices)).toEqual([
      [0, 1],
      [2, 3],
      [4, 5],
    ]);
    expect(new Set(workersOf(answer)).size).toBe(3);
    // Those of a later attempt alone.
    const later = rig.place(routeAskOf(prompts[0]!, { prompts, choices: [3, 5], choicesPerPrompt: 2 }));
    expect(later.answer.kind === "placed" && later.answer.places.flatMap(({ choices }) => choices)).toEqual([3, 5]);
  });
});

describe("what a request says of its worker", () => {
  it.each(["kv", "round-robin", "random", "power-of-two", "least-request", "direct"] as const)(
    "a pin is obeyed in the mode %s",
    (mode: RouterMode) => {
      const rig = new RoutingRig(TWO, { mode });
      rig.store(1n, promptOf(1, 8));
      for (let times = 0; times < 3; times++) {
        const { answer } = rig.place(routeAskOf(promptOf(1, 8), { target: { worker: 2n, rank: undefined } }));
        expect(shownAnswer(answer)).toEqual(["2: 0, direct, pinned"]);
      }
      expect(
        shownAnswer(rig.place(routeAskOf(promptOf(1, 8), { target: { worker: 9n, rank: undefined } })).answer),
      ).toEqual([mode === "direct" ? "NO_WORKERS" : "NO_WORKERS"]);
    },
  );

  it.each([
    { mode: "direct", rule: "ttft" },
    { mode: "kv", rule: "direct" },
  ] as const)("waits for nobody when it is to be told the worker and is not: mode $mode, rule $rule", (options) => {
    const rig = new RoutingRig(TWO, options);
    expect(shownAnswer(rig.place(routeAskOf(promptOf(1, 1))).answer)).toEqual(["INVALID_ARGUMENT, final"]);
    rig.follow([]);
    expect(shownAnswer(rig.place(routeAskOf(promptOf(1, 1))).answer)).toEqual(["NO_WORKERS, final"]);
  });

  it("names a rank, or leaves it to the router; a worker of one rank is asked for none", () => {
    const rig = new RoutingRig([fleetWorker(1n, { ranks: 2 }), fleetWorker(2n)]);
    const prompt = promptOf(1, 8);
    rig.store(1n, prompt, { rank: 1 });
    expect(shownAnswer(rig.place(routeAskOf(prompt)).answer)[0]).toMatch(/^1\/1: 0, ttft/);
    const pinned = (rank: number | undefined) => rig.place(routeAskOf(prompt, { target: { worker: 1n, rank } })).answer;
    expect(shownAnswer(pinned(0))).toEqual(["1/0: 0, direct, pinned"]);
    expect(shownAnswer(pinned(undefined))).toEqual(["1/1: 0, direct, pinned"]);
    expect(shownAnswer(pinned(2))).toEqual(["INVALID_ARGUMENT, final"]);
    expect(errorOf(pinned(2)).message).toContain("has 2 ranks, and no rank 2");
    expect(shownAnswer(rig.place(routeAskOf(promptOf(2, 1), { avoid: new Set([1n]) })).answer)[0]).toMatch(/^2: 0/);
  });

  it("required taints leave the others out; one that nobody has is named", () => {
    const rig = new RoutingRig([fleetWorker(1n), fleetWorker(2n, { taints: new Set(["zone=a", "gpu"]) })]);
    const prompt = promptOf(1, 8);
    rig.store(1n, prompt);
    const ask = (...requiredTaints: string[]) => rig.place(routeAskOf(prompt, { requiredTaints })).answer;
    expect(workersOf(ask("zone=a"))).toEqual([2n]);
    expect(workersOf(ask("gpu", "zone=a"))).toEqual([2n]);
    const lacking = ask("gpu", "zone=b");
    expect(shownAnswer(lacking)).toEqual(["NO_WORKERS, final"]);
    expect(errorOf(lacking).message).toBe("No worker with the taint zone=b can take a request for m now.");
    expect(errorOf(lacking).param).toBe("stator.required_taints");
    // It is there, and cannot take anything now: it may be back soon.
    rig.unable.add(2n);
    expect(shownAnswer(ask("zone=a"))).toEqual(["NO_WORKERS"]);
    expect(errorOf(ask("zone=a")).message).toContain("with the taint zone=a");
  });

  it("preferred taints weigh", () => {
    const rig = new RoutingRig([fleetWorker(1n), fleetWorker(2n, { taints: new Set(["zone=a", "old"]) })]);
    const ask = (taint: string, weight: number) => {
      const asked = routeAskOf(promptOf(1, 8), { preferredTaints: [{ taint, weight }] });
      return rig.router.explainAsk(asked)[0]!.candidates.map(({ worker, cost }) => [worker, Math.round(cost)]);
    };
    expect(ask("zone=a", 1)).toEqual([
      [2n, 120],
      [1n, 258],
    ]);
    expect(ask("old", -1)).toEqual([
      [1n, 258],
      [2n, 553],
    ]);
    expect(ask("none", 5)).toEqual([
      [1n, 258],
      [2n, 258],
    ]);
  });

  it("a worker that failed the request is left out by who knows of it", () => {
    const rig = new RoutingRig(TWO);
    const avoid = new Set([1n]);
    for (let times = 0; times < 5; times++) {
      expect(workersOf(rig.place(routeAskOf(promptOf(times, 1), { avoid })).answer)).toEqual([2n]);
    }
  });
});

describe("the fleet", () => {
  it("takes its cache with it when it goes, is another incarnation, or moves to other weights", () => {
    const rig = new RoutingRig(TWO);
    const prompt = promptOf(1, 8);
    const cached = () => {
      const found = rig.router.explainAsk(routeAskOf(prompt))[0]!.candidates;
      return found.map(({ worker, deviceTokens }) => `${worker} ${deviceTokens}`).sort();
    };
    for (const worker of [1n, 2n]) rig.store(worker, prompt);
    const old = rig.router.sink(2n, 0);
    rig.follow([fleetWorker(1n), fleetWorker(2n, { taints: new Set(["new"]) })]);
    expect(cached()).toEqual(["1 128", "2 128"]);
    rig.follow([fleetWorker(1n), fleetWorker(2n, { incarnation: 2n })]);
    expect(cached()).toEqual(["1 128", "2 0"]);
    // What the old one's events still say is nothing of the new one's.
    expect(old.apply({ kind: "cleared" })).toEqual({ stored: 0, removed: 0, absent: 0, parentUnknown: false });
    rig.follow([fleetWorker(1n, { weights: "x" }), fleetWorker(2n, { incarnation: 2n })]);
    expect(cached()).toEqual(["1 0", "2 0"]);
    rig.store(1n, prompt);
    rig.router.sink(1n, 0).reset();
    expect(cached()).toEqual(["1 0", "2 0"]);
    rig.follow([]);
    expect(rig.router.view(1n)).toEqual([]);
    expect(rig.router.inForce).toEqual([]);
    expect(rig.router.sink(7n, 0).apply({ kind: "cleared" }).stored).toBe(0);
  });

  it("is learned from by its passes: times, load of others, waiting", () => {
    const rig = new RoutingRig(TWO);
    rig.pass(1n, {
      runningRequests: 3,
      decodeSequences: 3,
      decodeContextTokens: 900,
      waitingRequests: 2,
      waitingTokens: 500,
    });
    const [explanation] = rig.router.explainAsk(routeAskOf(promptOf(1, 4)));
    const one = explanation?.candidates.find(({ worker }) => worker === 1n);
    expect(one).toMatchObject({ openRequests: 5, prefillTokens: 500 });
    expect(explanation?.candidates[0]?.worker).toBe(2n);
    expect(rig.router.view(1n)[0]?.timedPasses).toBe(1);
    rig.pass(9n, {});
    rig.pass(1n, { rank: 4 });
  });
});

it("answers the same to the same asks, notes and chance", () => {
  const live = (seed: bigint): string[] => {
    const rig = new RoutingRig(THREE, { chance: new SeededChance(9n) });
    const chance = new SeededChance(seed);
    const shown: string[] = [];
    const tickets: Ticket[] = [];
    for (let turn = 0; turn < 200; turn++) {
      const kind = Math.floor(chance.next() * 6);
      const { answer, ticket } = rig.place(routeAskOf(promptOf(kind, 2 + kind)));
      shown.push(...shownAnswer(answer));
      tickets.push(ticket);
      if (turn % 3 === 0) tickets.shift()?.cancel();
      if (turn % 5 === 0) rig.router.explainAsk(routeAskOf(promptOf(kind, 9)));
      rig.clock.advance(chance.next() * 50);
    }
    return shown;
  };
  expect(live(3n)).toEqual(live(3n));
  expect(live(3n)).not.toEqual(live(4n));
});

it("has nothing open once everything has ended, whatever came when", () => {
  const chance = new SeededChance(21n);
  const rig = new RoutingRig(THREE, { affinity: "soft" });
  const open: { ticket: Ticket; choices: number[] }[] = [];
  const draw = (count: number) => Math.floor(chance.next() * count);
  for (let turn = 0; turn < 3_000; turn++) {
    const act = draw(12);
    if (act < 4) {
      const prompts = Array.from({ length: 1 + draw(3) }, () => promptOf(draw(9), draw(6), draw(20)));
      const choicesPerPrompt = 1 + draw(2);
      const choices = prompts.flatMap((_, at) =>
        Array.from({ length: choicesPerPrompt }, (__, of) => at * choicesPerPrompt + of),
      );
      const session = draw(2) === 0 ? `s${draw(9)}` : undefined;
      const { answer, ticket } = rig.place(routeAskOf(prompts[0]!, { prompts, choices, choicesPerPrompt, session }));
      if (answer.kind === "placed") open.push({ ticket, choices });
    } else if (act === 4) open.splice(draw(open.length), 1)[0]?.ticket.cancel();
    else if (act === 5)
      rig.follow(THREE.filter(() => draw(4) > 0).map((each) => ({ ...each, incarnation: BigInt(1 + draw(2)) })));
    else if (act === 6)
      rig.pass(BigInt(1 + draw(3)), { decodeSequences: draw(4), waitingRequests: draw(3), runningRequests: draw(5) });
    else {
      const one = open[draw(open.length)];
      const choice = one?.choices[draw(one.choices.length)] ?? 0;
      const kind = (["accepted", "first token", "tokens", "ended", "ended"] as const)[draw(5)]!;
      if (kind === "accepted") one?.ticket.note({ kind, choice, cachedTokens: draw(100) });
      else if (kind === "tokens") one?.ticket.note({ kind, choice, tokens: draw(50) });
      else one?.ticket.note({ kind, choice });
    }
    rig.clock.advance(draw(20));
  }
  for (const { ticket } of open) ticket.cancel();
  rig.follow(THREE);
  expect(rig.router.openChoices).toBe(0);
  expect(rig.router.openReservations).toBe(0);
  rig.clock.advance(60_000);
  const [explanation] = rig.router.explainAsk(routeAskOf(promptOf(50, 3)));
  for (const candidate of explanation!.candidates) {
    expect(candidate).toMatchObject({ openRequests: 0, prefillTokens: 0, potentialBlocks: 4 });
  }
});

it("says what it has to do without, for as long as it is so", () => {
  const rig = new RoutingRig([
    fleetWorker(1n),
    fleetWorker(2n, { scope: undefined, weights: "x", why: "Without KV routing." }),
  ]);
  expect(rig.router.lacking).toEqual(["power-of-two is in force: ttft needs prefixes. Without KV routing."]);
  rig.follow([fleetWorker(1n), fleetWorker(3n)]);
  rig.know(1n, "live");
  rig.know(3n, "none");
  expect(rig.router.lacking).toEqual([expect.stringMatching(/^What 1 of 2 ranks hold is not known\. \S/)]);
  rig.know(3n, "recovering");
  expect(rig.router.lacking).toEqual([]);
  const blind = new RoutingRig([fleetWorker(1n, { scope: undefined })], { mode: "random" });
  expect(blind.router.lacking).toEqual([]);
  const hears = (more: object) => new RoutingRig([fleetWorker(1n)], more).router.hearsEvents;
  expect([hears({}), hears({ followsEvents: false }), hears({ rule: "session" }), blind.router.hearsEvents]).toEqual([
    ...[true, false, false, false],
  ]);
});

it("counts what the budget of an index took, also when its workers have left", () => {
  const index = new RunIndex({ budgetBytes: MIN_BUDGET_BYTES });
  const rig = new RoutingRig([fleetWorker(1n)], { openIndex: () => index });
  for (let kind = 0; kind < 40; kind++) rig.store(1n, promptOf(kind, 1_000));
  expect(index.evicted).toBeGreaterThan(0);
  const told = rig.router.evictedEntries;
  expect(told).toBe(index.evicted);
  rig.follow([]);
  expect(rig.router.evictedEntries).toBe(told);
});
