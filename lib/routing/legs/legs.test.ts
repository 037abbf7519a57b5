import { describe, expect, it } from "vitest";
import type { KvLayout } from "#lib/kv/layout";
import {
  errorOf,
  fleetWorker,
  promptOf,
  RoutingRig,
  type RoutingRigOptions,
  routeAskOf,
} from "../../../test/support/routing-rig.ts";
import type { FleetWorker } from "../fleet.ts";
import type { Locate } from "../locate.ts";
import type { RouteAnswer } from "../router.ts";
import type { Disaggregation } from "./disaggregation.ts";

const LAYOUT = { layers: 1, blockTokens: 16, keyRowBytes: 500, valueRowBytes: 500, elementType: "f16" } as const;
const KV = {
  tokenBytes: 1_000,
  layout: { ...LAYOUT, engineFormat: "e", order: "layer-kind" },
  hashScheme: "h",
} as const;
/** Blocks that differ in this. */
const kvOf = (more: Partial<KvLayout>) => ({ ...KV, layout: { ...KV.layout, ...more } });
const prefill = (worker: bigint, more: Partial<FleetWorker> = {}) =>
  fleetWorker(worker, { role: "prefill", kv: KV, ...more });
/** An answer more makes each token of the others later. */
const decode = (worker: bigint, more: Partial<FleetWorker> = {}) =>
  fleetWorker(worker, { role: "decode", kv: KV, times: { decodeSequenceMs: 0.1 }, ...more });

function rigOf(workers: readonly FleetWorker[], split: Partial<Disaggregation> = {}, more: RoutingRigOptions = {}) {
  return new RoutingRig(workers, { split: { bypass: "none", ...split }, ...more });
}

/** `leg worker: choices` of each place, with the worker ahead of it; or the sentence of the error. */
function shown(answer: RouteAnswer): string[] {
  if (answer.kind === "unplaced") return [answer.error.message];
  return answer.places.map(({ leg = "whole", target, choices, ahead }) => {
    const second = ahead ? ` ahead ${ahead.target.worker}` : "";
    return `${leg} ${target.worker}${second}: ${choices.join(" ")}`;
  });
}

describe("an answer with two legs", () => {
  it("has its prompt where prompts are computed, and goes on where answers are made", () => {
    const rig = rigOf([prefill(1n), decode(2n), decode(3n)]);
    const prompt = promptOf(1, 8);
    const first = rig.place(routeAskOf(prompt, { choices: [0, 1], choicesPerPrompt: 2 }));
    expect(shown(first.answer)).toEqual(["prefill 1: 0 1"]);
    // One answer runs at the second: the other one is less busy.
    const busy = rig.place(routeAskOf(promptOf(2, 8), { stage: "hand-off", prefilledBy: 1n }));
    busy.ticket.note({ kind: "first token", choice: 0 });
    const [taken] = busy.answer.kind === "placed" ? busy.answer.places : [];
    const next = rig.place(routeAskOf(prompt, { stage: "hand-off", prefilledBy: 1n }));
    expect(shown(next.answer)).toEqual([`decode ${taken?.target.worker === 2n ? 3n : 2n}: 0`]);
    expect(rig.router.openChoices).toBe(4);
    for (const { ticket } of [first, busy, next]) ticket.cancel();
    expect([rig.router.openChoices, rig.router.openReservations]).toEqual([0, 0]);
  });

  it("is made whole where nobody computes prompts alone, and of asks for anything else", () => {
    expect(shown(rigOf([decode(1n)]).place(routeAskOf(promptOf(1, 4))).answer)).toEqual(["whole 1: 0"]);
    const rig = rigOf([prefill(1n), decode(2n)]);
    for (const kind of ["embed", "score", "encode"] as const) {
      expect(shown(rig.place(routeAskOf(promptOf(1, 4), { kind })).answer)).toEqual(["whole 2: 0"]);
    }
    expect(shown(rig.place(routeAskOf(new Uint32Array(0), { texts: ["a"] })).answer)).toEqual(["whole 2: 0"]);
    // Of less than a block nothing could be handed over.
    expect(shown(rig.place(routeAskOf(promptOf(1, 0, 15))).answer)).toEqual(["whole 2: 0"]);
  });

  it("is refused by the role that is missing, where prompts are never to be computed with answers", () => {
    const refusal = (role: string) => `No worker with the role ${role} can take a request for m now.`;
    const rig = rigOf([prefill(1n), decode(2n)], { enforce: true });
    expect(shown(rig.place(routeAskOf(promptOf(1, 0, 15))).answer)).toEqual(["prefill 1: 0"]);
    rig.unable.add(1n);
    const { answer } = rig.place(routeAskOf(promptOf(1, 4)));
    expect([shown(answer), errorOf(answer).row.http]).toEqual([[refusal("prefill")], 503]);
    expect(shown(rig.place(routeAskOf(promptOf(1, 4), { kind: "score" })).answer)).toEqual(["whole 2: 0"]);
  });

  it("goes past a worker for prompts that may not take work, and back to it when it may", () => {
    const rig = rigOf([prefill(1n), decode(2n)]);
    const placed = (avoid: bigint[] = []) =>
      shown(rig.place(routeAskOf(promptOf(1, 4), { avoid: new Set(avoid) })).answer);
    expect([placed(), placed([1n])]).toEqual([["prefill 1: 0"], ["whole 2: 0"]]);
    rig.unable.add(1n);
    expect(placed()).toEqual(["whole 2: 0"]);
    rig.unable.delete(1n);
    expect(placed()).toEqual(["prefill 1: 0"]);
    rig.pass(1n, { sessionsFull: true });
    rig.clock.advance(60_000);
    expect(placed()).toEqual(["whole 2: 0"]);
    rig.pass(1n, { sessionsFull: false });
    expect(placed()).toEqual(["prefill 1: 0"]);
  });

  it("is never split between workers whose blocks differ", () => {
    const other = kvOf({ elementType: "q8_0" });
    const placed = (...workers: FleetWorker[]) => shown(rigOf(workers).place(routeAskOf(promptOf(1, 4))).answer);
    expect(placed(prefill(1n, { kv: other }), decode(2n))).toEqual(["whole 2: 0"]);
    expect(placed(prefill(1n, { weights: "v" }), decode(2n))).toEqual(["whole 2: 0"]);
    expect(placed(prefill(1n, { kv: other }), prefill(3n), decode(2n))).toEqual(["prefill 3: 0"]);
    const rig = rigOf([prefill(1n), decode(2n, { kv: other }), decode(3n)]);
    rig.place(routeAskOf(promptOf(2, 8), { target: { worker: 3n, rank: undefined } }));
    const { answer } = rig.place(routeAskOf(promptOf(1, 4), { stage: "hand-off", prefilledBy: 1n }));
    expect(shown(answer), "though it is busier").toEqual(["decode 3: 0"]);
  });

  it("goes on where the same adapter is: places say what computes them as those who were found do", () => {
    const words = new Map([
      [1n, "w-a"],
      [2n, "w-b"],
      [3n, "w-a"],
    ]);
    const locate: Locate = (_, leg) =>
      new Map([...words].filter(([worker]) => (worker === 1n) === (leg === "prefill")));
    const rig = rigOf([prefill(1n), decode(2n), decode(3n)], { bootstrap: true }, { locate });
    const { answer } = rig.place(routeAskOf(promptOf(1, 4)));
    expect(answer).toMatchObject({ places: [{ weights: "w-a", ahead: { weights: "w-a", target: { worker: 3n } } }] });
    words.delete(3n);
    expect(shown(rig.place(routeAskOf(promptOf(2, 4))).answer)).toEqual(["whole 2: 0"]);
  });
});

describe("blocks", () => {
  const both = (kv: FleetWorker["kv"], more = {}) => [prefill(1n, { kv, ...more }), decode(2n)] as const;

  it.each([
    ["of another length", both(kvOf({ blockTokens: 64 }))],
    ["that are shorter", both(kvOf({ blockTokens: 4 }))],
    ["with keys first", both(kvOf({ order: "kind-layer" }))],
  ] as const)("%s are handed over", (_, workers) => {
    expect(shown(rigOf(workers).place(routeAskOf(promptOf(1, 4))).answer)).toEqual(["prefill 1: 0"]);
  });

  it.each([
    ["weights", both(KV, { weights: "v" })],
    ["transfer", both(undefined)],
    ["transfer.layers", both(kvOf({ layers: 2 }))],
    ["transfer.key_row_bytes", both(kvOf({ keyRowBytes: 400 }))],
    ["transfer.value_row_bytes", both(kvOf({ valueRowBytes: 400 }))],
    ["transfer.element_type", both(kvOf({ elementType: "q8_0" }))],
    ["transfer.engine_format", both(kvOf({ engineFormat: "other" }))],
    ["transfer.block_tokens", both(kvOf({ blockTokens: 24 }))],
    ["transfer.order", both({ ...KV, layout: undefined })],
    ["routing.hash_scheme", both({ ...KV, hashScheme: "other" })],
  ] as const)("that differ in %s are not, and who insists is told that name", (field, workers) => {
    expect(shown(rigOf(workers).place(routeAskOf(promptOf(1, 4))).answer)).toEqual(["whole 2: 0"]);
    const { answer } = rigOf(workers, { enforce: true }).place(routeAskOf(promptOf(1, 4)));
    expect(answer).toMatchObject({ kind: "unplaced", error: { reason: "NO_WORKERS" } });
    expect(String((answer as { error: Error }).error.message)).toContain(`differ in ${field}`);
  });
});

describe("who names a worker", () => {
  const pinned = (worker: bigint) => ({ target: { worker, rank: undefined } });
  const workers = [prefill(1n), prefill(2n), decode(3n), decode(4n)];

  it("for answers gets all of it there; one for prompts, and it goes on anywhere", () => {
    const rig = rigOf(workers);
    for (const worker of [3n, 4n]) {
      expect(shown(rig.place(routeAskOf(promptOf(1, 4), pinned(worker))).answer)).toEqual([`whole ${worker}: 0`]);
    }
    // However dear: it was named.
    for (const worker of [1n, 2n]) {
      const priced = rigOf(workers, { bypass: "priced" });
      expect(shown(priced.place(routeAskOf(promptOf(1, 4), pinned(worker))).answer)).toEqual([`prefill ${worker}: 0`]);
      const next = { ...pinned(worker), stage: "hand-off", prefilledBy: worker } as const;
      const { answer } = priced.place(routeAskOf(promptOf(1, 4), next));
      expect(shown(answer)[0]).toMatch(/^decode [34]: 0$/);
      expect(answer).not.toMatchObject({ places: [{ decision: { rule: "pinned" } }] });
    }
  });

  it("hears that it is away, and nobody else is taken", () => {
    const rig = rigOf(workers);
    rig.unable.add(1n);
    expect(errorOf(rig.place(routeAskOf(promptOf(1, 4), pinned(1n))).answer).reason).toBe("NO_WORKERS");
  });

  it("for answers gets its prompt elsewhere all the same, where that is enforced", () => {
    const rig = rigOf(workers, { enforce: true });
    expect(shown(rig.place(routeAskOf(promptOf(1, 4), pinned(4n))).answer)[0]).toMatch(/^prefill [12]: 0$/);
    const next = { ...pinned(4n), stage: "hand-off", prefilledBy: 1n } as const;
    expect(shown(rig.place(routeAskOf(promptOf(1, 4), next)).answer)).toEqual(["decode 4: 0"]);
  });

  it("must do so under the rule direct, and is not asked again where it goes on", () => {
    const rig = rigOf(workers, {}, { mode: "direct" });
    expect(errorOf(rig.place(routeAskOf(promptOf(1, 4))).answer).reason).toBe("INVALID_ARGUMENT");
    expect(shown(rig.place(routeAskOf(promptOf(1, 4), pinned(1n))).answer)).toEqual(["prefill 1: 0"]);
    const next = { ...pinned(1n), stage: "hand-off", prefilledBy: 1n } as const;
    expect(shown(rig.place(routeAskOf(promptOf(1, 4), next)).answer)[0]).toMatch(/^decode [34]: 0$/);
  });
});

describe("where an answer goes on", () => {
  const after = { stage: "hand-off", prefilledBy: 1n } as const;
  const workerOf = (answer: RouteAnswer) => (answer.kind === "placed" ? answer.places[0]!.target.worker : undefined);

  it("is where its blocks are already, as long as that is worth the load", () => {
    const rig = rigOf([prefill(1n), decode(2n), decode(3n)], { transferBytesPerSecond: 1_000_000 });
    const prompt = promptOf(1, 64);
    rig.store(3n, prompt);
    expect(workerOf(rig.place(routeAskOf(prompt, after)).answer)).toBe(3n);
    // A thousand tokens take a second. An answer of 128 tokens makes those beside it later by 12.8 ms, and is made later by
    // as much for each of them.
    for (let open = 0; open < 60; open++) {
      const { ticket } = rig.place(routeAskOf(promptOf(2 + open, 1), { target: { worker: 3n, rank: undefined } }));
      ticket.note({ kind: "first token", choice: 0 });
    }
    expect(workerOf(rig.place(routeAskOf(prompt, after)).answer)).toBe(2n);
  });

  it("learns how long blocks take, of each pair of workers", () => {
    const rig = rigOf([prefill(1n), decode(2n), decode(3n)]);
    const prompt = promptOf(1, 64);
    const told = (worker: bigint, ms: number) => {
      const { ticket } = rig.place(routeAskOf(prompt, { ...after, target: { worker, rank: undefined } }));
      ticket.note({ kind: "transferred", choice: 0, transfer: { bytes: 1_024_000, ms } });
      ticket.cancel();
    };
    for (let at = 0; at < 100; at++) {
      told(2n, 400);
      told(3n, 3);
    }
    const { candidates } = rig.router.explainAsk(routeAskOf(promptOf(2, 64), after))[0]!;
    const transfer = candidates.map(({ worker, terms }) => [
      worker,
      Math.round(terms.find(({ name }) => name === "transfer")!.value / 10),
    ]);
    expect(transfer).toEqual([
      [3n, 0],
      [2n, 40],
    ]);
  });

  it("has what comes from elsewhere counted as no prompt to compute, whatever its worker found in its cache", () => {
    const rig = rigOf([prefill(1n), decode(2n)]);
    const { ticket } = rig.place(routeAskOf(promptOf(1, 64), after));
    const toCompute = () => rig.router.explainAsk(routeAskOf(promptOf(2, 4), { kind: "score" }))[0]!.candidates[0];
    expect(toCompute()?.prefillTokens).toBe(1);
    ticket.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    expect(toCompute()).toMatchObject({ prefillTokens: 1, openRequests: 1 });
  });

  it("waits for nobody whose pool is full while another has room", () => {
    const rig = rigOf([prefill(1n), decode(2n, { totalBlocks: 40 }), decode(3n, { totalBlocks: 40 })]);
    rig.place(routeAskOf(promptOf(2, 30), { ...after, target: { worker: 2n, rank: undefined } }));
    rig.store(2n, promptOf(1, 20));
    expect(workerOf(rig.place(routeAskOf(promptOf(1, 20), after)).answer)).toBe(3n);
  });

  it("is asked of the mode's own rule where that does not look at prefixes", () => {
    const rig = rigOf([prefill(1n), decode(2n), decode(3n)], {}, { mode: "round-robin" });
    const places = [1, 2, 3, 4].map((kind) => workerOf(rig.place(routeAskOf(promptOf(kind, 4), after)).answer));
    expect(places).toEqual([2n, 3n, 2n, 3n]);
  });
});

describe("legs that begin together", () => {
  it("are placed together, and each ends by itself", () => {
    const rig = rigOf([prefill(1n), decode(2n)], { bootstrap: true });
    const { answer, ticket } = rig.place(routeAskOf(promptOf(1, 4), { choices: [0, 1], choicesPerPrompt: 2 }));
    expect(shown(answer)).toEqual(["prefill 1 ahead 2: 0 1"]);
    expect(rig.router.openChoices).toBe(4);
    ticket.note({ kind: "first token", choice: 0 });
    ticket.note({ kind: "ended", choice: 0, tokens: 1 });
    ticket.note({ kind: "ended", choice: 0, tokens: 1 });
    expect(rig.router.openChoices).toBe(3);
    ticket.note({ kind: "tokens", choice: 0, tokens: 20, ahead: true });
    ticket.note({ kind: "ended", choice: 0, tokens: 20, ahead: true });
    ticket.note({ kind: "ended", choice: 1, ahead: true });
    expect(rig.router.openChoices).toBe(1);
    ticket.cancel();
    expect([rig.router.openChoices, rig.router.openReservations]).toEqual([0, 0]);
  });

  it("are one where the prompt is computed with its answer", () => {
    const rig = rigOf([prefill(1n), decode(2n)], { bootstrap: true, bypass: "isl-bounding" });
    const prompt = promptOf(1, 64);
    rig.store(2n, prompt.subarray(0, 640));
    expect(shown(rig.place(routeAskOf(prompt)).answer)).toEqual(["whole 2: 0"]);
  });
});

describe("what is told of legs", () => {
  it("is each leg that was placed, and what the bypass rule said", () => {
    const rig = rigOf([prefill(1n), decode(2n)], { bypass: "priced" });
    expect(shown(rig.place(routeAskOf(promptOf(1, 4), { requestId: "alone" })).answer)).toEqual(["whole 2: 0"]);
    for (let open = 0; open < 40; open++) {
      const { ticket } = rig.place(routeAskOf(promptOf(2 + open, 1), { stage: "hand-off", requestId: "others" }));
      ticket.note({ kind: "first token", choice: 0 });
    }
    rig.place(routeAskOf(promptOf(60, 4)));
    rig.place(routeAskOf(promptOf(60, 4), { stage: "hand-off", prefilledBy: 1n }));
    const [second, first] = rig.router.explain("r");
    expect([second?.leg, second?.rule, second?.unit, second?.bypass]).toEqual(["decode", "hand-off", "ms", undefined]);
    expect(first).toMatchObject({ leg: "prefill", rule: "ttft", bypass: { rule: "priced", isBypassed: false } });
    const sumOf = (way: string) =>
      first!.bypass!.terms.filter(({ name }) => name.startsWith(way)).reduce((sum, { value }) => sum + value, 0);
    expect(sumOf("split")).toBeLessThanOrEqual(sumOf("whole"));
    expect(second?.candidates[0]?.terms.map(({ name }) => name)).toContain("transfer");
  });

  it("is both legs of a prompt that is not sent", () => {
    const rig = rigOf([prefill(1n), decode(2n)]);
    const told = rig.router.explainAsk(routeAskOf(promptOf(1, 4)));
    expect(told.map(({ leg, candidates }) => [leg, candidates[0]?.worker])).toEqual([
      ["decode", 2n],
      ["prefill", 1n],
    ]);
    expect(rig.router.openChoices).toBe(0);
  });

  it("is one prompt, one answer and its length to who captures", () => {
    const rig = rigOf([prefill(1n), decode(2n)]);
    const capture = rig.router.capture({ decisions: true, blockTokens: 16 });
    const asker = { arrivedMs: rig.clock.nowMs() };
    const first = rig.place(routeAskOf(promptOf(1, 4), { asker }));
    first.ticket.note({ kind: "first token", choice: 0 });
    first.ticket.note({ kind: "ended", choice: 0, tokens: 1 });
    const second = rig.place(routeAskOf(promptOf(1, 4), { asker, stage: "hand-off", prefilledBy: 1n }));
    second.ticket.note({ kind: "first token", choice: 0 });
    second.ticket.note({ kind: "ended", choice: 0, tokens: 40 });
    rig.router.done(asker);
    expect(capture.take()).toMatchObject({ worker: 1n, moves: 0, answers: [40], decision: { rule: "ttft" } });
    expect(capture.take()).toBeUndefined();
  });
});
