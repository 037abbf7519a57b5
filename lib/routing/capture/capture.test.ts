import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { createMetrics } from "#lib/host/metrics";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import {
  BLOCK,
  fleetWorker,
  promptOf,
  RoutingRig,
  type RoutingRigOptions,
  routeAskOf,
} from "../../../test/support/routing-rig.ts";
import { ROUTING_INSTRUMENTS } from "../instruments.ts";
import type { RouteAsk, Ticket } from "../router.ts";
import { RULE_NAMES, RULES, type RuleName } from "../rules/table.ts";
import type { Capture } from "./capture.ts";
import { redecide } from "./redecide.ts";

const THREE = [fleetWorker(1n), fleetWorker(2n), fleetWorker(3n, { times: { prefillTokenMs: 2 } })];

/** A router that is captured, and requests on it. */
class CapturedRig extends RoutingRig {
  readonly capture: Capture;

  constructor(more: RoutingRigOptions = {}, asked: Partial<Parameters<RoutingRig["router"]["capture"]>[0]> = {}) {
    super(THREE, more);
    this.capture = this.router.capture({ decisions: true, blockTokens: BLOCK, ...asked });
  }

  /** A request that came now. */
  begin(prompt: Uint32Array, more: Partial<RouteAsk> = {}) {
    const asker = { arrivedMs: this.clock.nowMs() };
    const ask = { ...routeAskOf(prompt, more), asker };
    const { ticket } = this.place(ask);
    return { asker, ask, ticket, end: (tokens = 5) => this.end(asker, ticket, tokens) };
  }

  end(asker: { arrivedMs: number }, ticket: Ticket, tokens: number, choices = [0]): void {
    for (const choice of choices) ticket.note({ kind: "ended", choice, tokens });
    this.router.done(asker);
  }
}

describe("a capture", () => {
  it("tells of a prompt when its request has ended: when, where, what was foreseen, what came", () => {
    const rig = new CapturedRig();
    const prompt = promptOf(1, 5, 3);
    rig.store(2n, prompt, { salt: "s" });
    rig.clock.advance(70);
    const { ticket, end } = rig.begin(prompt, { priority: 7, session: "secret", salt: "s" });
    ticket.note({ kind: "accepted", choice: 0, cachedTokens: 16 });
    rig.clock.advance(9);
    ticket.note({ kind: "first token", choice: 0 });
    expect([rig.capture.open, rig.capture.take()]).toEqual([1, undefined]);
    end(41);
    const told = rig.capture.take()!;
    const [local, hashes] = [new BigUint64Array(5), new BigUint64Array(5)];
    new TokenHasher().hashBlocks(prompt, BLOCK, hashSeed("s", undefined), local, hashes);
    expect(told).toMatchObject({ number: 0, openFrom: 1, atMs: 70, waitedMs: 0, model: "m", weights: "w", hashes });
    expect(told).toMatchObject({ promptTokens: 83, answers: [41], moves: 0, priority: 7, worker: 2n, rank: 0 });
    expect(told.kept).toMatchObject({ rule: "ttft", predictedTokens: 80, seenTokens: 16, seenMs: 9 });
    expect(told.kept.ask.session).toBeTypeOf("bigint");
    expect(told.decision?.workers).toEqual(BigUint64Array.of(1n, 2n, 3n));
    expect([rig.capture.open, rig.capture.take()]).toEqual([0, undefined]);
  });

  it("tells in which order requests came, and how far none is missing", () => {
    const rig = new CapturedRig({}, { decisions: false });
    const requests = [1, 2, 3, 4].map((kind) => rig.begin(promptOf(kind, 1)));
    for (const at of [2, 0, 3, 1]) requests[at]!.end();
    const told = Array.from({ length: 4 }, () => rig.capture.take()!);
    expect(told.map(({ number, openFrom }) => [number, openFrom])).toEqual([
      [2, 0],
      [0, 1],
      [3, 1],
      [1, 4],
    ]);
    expect(told[0]!.decision).toBeUndefined();
  });

  it("tells of each prompt of a request, and of all choices of one", () => {
    const rig = new CapturedRig();
    const asker = { arrivedMs: 0 };
    const prompts = [promptOf(1, 2), promptOf(2, 3)];
    const ask = { ...routeAskOf(prompts[0]!), prompts, choices: [0, 1, 2, 3], choicesPerPrompt: 2, asker };
    const { ticket } = rig.place(ask);
    for (const choice of [3, 0, 1, 2]) ticket.note({ kind: "ended", choice, tokens: 10 + choice });
    rig.router.done(asker);
    const told = [rig.capture.take()!, rig.capture.take()!];
    expect(told.map(({ number, openFrom, answers }) => ({ number, openFrom, answers }))).toEqual([
      { number: 0, openFrom: 1, answers: [10, 11] },
      { number: 1, openFrom: 2, answers: [12, 13] },
    ]);
  });

  it("counts one token of an answer that its first token ended, and none where that never came", () => {
    const rig = new CapturedRig();
    const asker = { arrivedMs: 0 };
    const ask = { ...routeAskOf(promptOf(1, 2)), choices: [0, 1, 2], choicesPerPrompt: 3, asker };
    const { ticket } = rig.place(ask);
    rig.clock.advance(4);
    ticket.note({ kind: "first token", choice: 0 });
    for (const [choice, tokens] of [0, 0, 7].entries()) ticket.note({ kind: "ended", choice, tokens });
    rig.router.done(asker);
    expect(rig.capture.take()).toMatchObject({ answers: [1, 0, 7], kept: { seenMs: 4 } });
  });

  it("follows a request that moves: it is one row, with its whole answer, where it was placed first", () => {
    const rig = new CapturedRig();
    const prompt = promptOf(1, 4);
    rig.store(3n, prompt);
    const { ask, asker, ticket } = rig.begin(prompt);
    ticket.note({ kind: "ended", choice: 0, tokens: 3 });
    const again = rig.place({ ...ask, isNew: false, avoid: new Set([3n]) });
    rig.end(asker, again.ticket, 30);
    expect(rig.capture.take()).toMatchObject({ worker: 3n, answers: [30], moves: 1 });
    expect(rig.capture.take()).toBeUndefined();
  });

  it("begins with requests that come after it, and leaves out what has no tokens or asks for no answer", () => {
    const rig = new RoutingRig(THREE);
    const early = { arrivedMs: rig.clock.nowMs() };
    rig.clock.advance(1);
    const capture = rig.router.capture({ decisions: true, blockTokens: BLOCK });
    const asks = [
      { ...routeAskOf(promptOf(1, 2)), asker: early },
      { ...routeAskOf(promptOf(1, 2), { kind: "embed" }), asker: { arrivedMs: 1 } },
      { ...routeAskOf(new Uint32Array(0)), asker: { arrivedMs: 1 } },
      routeAskOf(promptOf(1, 2)),
    ];
    for (const ask of asks) {
      const { ticket } = rig.place(ask);
      ticket.note({ kind: "ended", choice: 0, tokens: 4 });
      if (ask.asker) rig.router.done(ask.asker);
    }
    expect([capture.take(), capture.open, capture.lost, capture.leftOut]).toEqual([undefined, 0, 0, 2]);
  });

  it("loses what there is no room for, open or not read, and has room again when it is read", async () => {
    const metrics = createMetrics([ROUTING_INSTRUMENTS], { processMetrics: false });
    const rig = new CapturedRig({ metrics }, { decisions: false, limits: { bytes: 3 * 600 } });
    const [first, ...rest] = [1, 2, 3, 4, 5].map((kind) => rig.begin(promptOf(kind, 2)));
    expect([rig.capture.open, rig.capture.lost]).toEqual([3, 2]);
    // One that was lost is not found later, when it moves.
    const lost = rest.at(-1)!;
    first!.end();
    expect(rig.capture.take()).toMatchObject({ number: 0 });
    rig.place({ ...lost.ask, isNew: false });
    expect(rig.capture.open).toBe(2);
    for (const { end } of rest) end();
    expect([rig.capture.take(), rig.capture.take(), rig.capture.take()]).toMatchObject([
      { number: 1 },
      { number: 2 },
      undefined,
    ]);
    rig.begin(promptOf(6, 2)).end();
    expect(rig.capture.take()).toMatchObject({ number: 3, openFrom: 4 });
    expect(await metrics.print()).toContain("stator_routing_capture_lost_total 2\n");
    rig.capture.close();
    expect(await metrics.print()).toMatch(/captures 0\n[\s\S]*capture_lost_total 2\n/);
  });

  it("has no decision of more candidates than it may", () => {
    const rig = new CapturedRig({}, { limits: { candidates: 2 } });
    rig.begin(promptOf(1, 2)).end();
    expect(rig.capture.take()).toMatchObject({ number: 0, decision: undefined });
  });

  it("is one of so many, and hears nothing when it is closed", () => {
    const rig = new CapturedRig({ limits: { captures: 1 } });
    const open = () => rig.router.capture({ decisions: false, blockTokens: BLOCK });
    expect(open).toThrow(expect.objectContaining({ reason: "OVERLOADED" }));
    const { end } = rig.begin(promptOf(1, 2));
    rig.capture.close();
    rig.capture.close();
    end();
    expect([rig.capture.take(), rig.capture.open]).toEqual([undefined, 0]);
    expect(open().open).toBe(0);
  });
});

/** Requests that come and go, so that tables are of all kinds; what was captured of them. */
function live(rule: RuleName, seed: bigint) {
  const rig = new CapturedRig({ rule, constants: { temperature: 0.5 } as never, chance: new SeededChance(seed) });
  const chance = new SeededChance(seed);
  const open: { end: (tokens: number) => void }[] = [];
  for (let round = 0; round < 120; round++) {
    const prompt = promptOf(pick(chance, 6), 1 + pick(chance, 12), pick(chance, 16));
    if (pick(chance, 3) === 0) rig.store(BigInt(1 + pick(chance, 3)), prompt);
    rig.pass(BigInt(1 + pick(chance, 3)), {
      prefillTokens: 10 + pick(chance, 50),
      durationUs: 1_000 * pick(chance, 90),
    });
    const session = pick(chance, 4) === 0 ? `s${pick(chance, 3)}` : undefined;
    const target = rule === "direct" ? { worker: BigInt(1 + pick(chance, 3)), rank: undefined } : undefined;
    open.push(rig.begin(prompt, { session, target }));
    if (open.length > 12) open.splice(pick(chance, open.length), 1)[0]!.end(pick(chance, 60));
    rig.clock.advance(pick(chance, 40));
  }
  for (const { end } of open) end(1);
  const { constants } = rig.router.chooses;
  const told = Array.from({ length: 120 }, () => rig.capture.take()!);
  return { told, constants };
}

describe("a decision that was captured", () => {
  it.each(RULE_NAMES)("is made the same again by its rule: %s", (rule) => {
    for (const seed of [1n, 2n]) {
      const { told, constants } = live(rule, seed);
      const with_ = { rule: RULES[rule].create(constants), chance: new SeededChance(0n) };
      for (const { decision, kept } of told) {
        expect(decision!.rule).toBe(rule);
        expect(redecide(decision!, with_)).toMatchObject({ before: kept.chosen, now: kept.chosen, because: undefined });
      }
      expect(told.some(({ decision }) => decision!.isHeld)).toBe(rule !== "direct");
    }
  });

  it("may be another one by another rule, for a reason that is named", () => {
    const { told, constants } = live("ttft", 3n);
    const reasons = new Map<string, number>();
    const with_ = { rule: RULES["least-request"].create(constants), chance: new SeededChance(0n) };
    for (const { decision } of told) {
      const { before, now, because, costs } = redecide(decision!, with_);
      expect(because === undefined).toBe(before === now);
      if (decision!.isHeld) expect(now).toBe(before);
      if (!because) continue;
      expect(because.now).toBeLessThanOrEqual(because.before);
      expect(costs[now]!).toBeLessThanOrEqual(costs[before]!);
      reasons.set(because.term, (reasons.get(because.term) ?? 0) + 1);
    }
    expect([...reasons.keys()].sort()).toEqual(["draw", "requests, this one too"]);
  });
});
