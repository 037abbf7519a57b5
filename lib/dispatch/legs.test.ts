import { describe, expect, it } from "vitest";
import { RequestKind, type Submit } from "#gen/stator/worker/v1/link_pb";
import { PracticeRooms } from "#lib/conform/practice-rooms";
import { LINK_FEATURES } from "#lib/link/features";
import type { Leg, Place, RouteAsk, RouteNote, Router } from "#lib/routing/router";
import { answer, DispatchRig } from "../../test/support/dispatch-rig.ts";

const spot = (worker: bigint) =>
  ({ target: { worker, rank: undefined }, weights: "unknown", decision: { rule: "pinned" } }) as const;

/** Prompts at worker 1, answers at worker 2 or who is left, whole ones at worker 3. */
class Legs {
  readonly asks: RouteAsk[] = [];
  readonly notes: RouteNote[] = [];
  readonly taken: Submit[] = [];
  readonly rooms = new PracticeRooms();
  readonly rig: DispatchRig;
  isAhead = false;

  constructor(features: Partial<Record<string, readonly string[]>> = {}) {
    this.rig = new DispatchRig("round-robin", {}, (inner) => this.#placing(inner));
    for (const id of [1n, 2n, 3n]) {
      const own = features[`${id}`];
      const more = { rooms: this.rooms, ...(own && { features: own }) };
      this.rig.add(id, 1n, 1_000, { ...more, onTaken: (submit) => void this.taken.push(submit) });
    }
  }

  #placing(inner: Router): Router {
    return {
      get openChoices() {
        return inner.openChoices;
      },
      place: (ask, answered) => {
        this.asks.push(ask);
        answered({ kind: "placed", places: [this.#place(ask)] });
        return { note: (note) => void this.notes.push(note), cancel() {} };
      },
      done: (asker) => inner.done(asker),
      follow: (fleet) => inner.follow(fleet),
      observe: (worker, pass) => inner.observe(worker, pass),
    };
  }

  #place({ choices, stage, avoid }: RouteAsk): Place {
    const at = (worker: bigint, leg: Leg, ahead?: bigint): Place => ({
      choices,
      ...spot(worker),
      leg,
      ...(ahead !== undefined && { ahead: spot(ahead) }),
    });
    if (stage === "hand-off") return at(avoid.has(2n) || !this.rig.workers.has(2n) ? 3n : 2n, "decode");
    if (avoid.has(1n) || !this.rig.workers.has(1n)) return at(3n, "whole");
    return at(1n, "prefill", this.isAhead ? 2n : undefined);
  }

  /** Nothing of the request is left with a worker. */
  expectIdle(): void {
    expect([...this.rig.workers.values()].map(({ openRequests }) => openRequests)).toEqual(
      [...this.rig.workers].map(() => 0),
    );
    expect(this.rig.dispatcher.openRequests).toBe(0);
  }

  record() {
    return this.rig.dispatcher.ledger.latest(1)[0];
  }
}

const PROMPT = [1, 2, 3];

describe("an answer in two legs", () => {
  it("is the answer of one, whose record names both, and of which the metrics know", async () => {
    const legs = new Legs();
    const { client } = legs.rig.start({ maxTokens: 6, choicesPerPrompt: 2 });
    legs.rig.advance(400);
    expect(client.tokens.slice(0, 2)).toEqual([answer(PROMPT, 0, 6), answer(PROMPT, 1, 6)]);
    expect(client.usage).toMatchObject({ promptTokens: 3, completionTokens: 12 });
    expect(client.placements.map(({ worker, leg }) => [worker, leg])).toEqual([
      [1n, "prefill"],
      [2n, "decode"],
    ]);
    expect(
      legs.taken.map(({ kind, generatedTokenIds, session, stopping }) => [
        kind,
        generatedTokenIds.length,
        !!session,
        stopping?.maxTokens,
      ]),
    ).toEqual([
      [RequestKind.PREFILL, 0, false, 6],
      [RequestKind.PREFILL, 0, false, 6],
      [RequestKind.GENERATE, 4, true, 6],
      [RequestKind.GENERATE, 4, true, 6],
    ]);
    expect(legs.record()).toMatchObject({
      migrations: 0,
      workers: [1n, 2n],
      handOff: { prefillWorker: 1n, decodeWorker: 2n, blocks: 1, rung: "in-process", reason: "" },
    });
    expect(legs.rooms.keptSessions).toBe(0);
    expect(await legs.rig.metrics.print()).toContain('stator_dispatch_hand_offs_total{blocks="all"} 1');
    legs.expectIdle();
  });

  it("lets go of all that is kept of it when nobody goes on from that, in one message", () => {
    const legs = new Legs();
    const { handle } = legs.rig.start({ maxTokens: 6, choicesPerPrompt: 3 });
    while (legs.taken.filter(({ session }) => session).length < 3) legs.rig.advance(1);
    handle.cancel();
    legs.rig.advance(400);
    expect(legs.rig.released).toMatchObject([[1n, { length: 3 }]]);
    expect(new Set(legs.rig.released[0]?.[1])).toEqual(
      new Set(legs.taken.slice(3).map(({ session }) => session!.sessionId)),
    );
    legs.expectIdle();
  });

  it("begins both at once where the router says so, in one room, and says each token once", () => {
    const legs = new Legs();
    legs.isAhead = true;
    const { client } = legs.rig.start({
      maxTokens: 6,
      topLogprobs: 0,
      promptLogprobs: true,
      prompts: [Uint32Array.of(1, 2)],
    });
    legs.rig.advance(400);
    expect(client.tokens[0]).toEqual(answer([1, 2], 0, 6));
    const [prompt, decode] = legs.taken;
    expect([prompt?.kind, decode?.kind, decode?.session]).toEqual([
      RequestKind.PREFILL,
      RequestKind.GENERATE,
      undefined,
    ]);
    expect(prompt?.room).toMatchObject({ host: "memory", port: 1, incarnation: 1n });
    expect(decode?.room).toEqual(prompt?.room);
    expect(prompt?.room?.number).not.toBe(0n);
    // The prompt's worker says what the prompt's tokens are like.
    expect([prompt?.outputs?.promptLogprobs, decode?.outputs?.promptLogprobs]).toEqual([true, false]);
    expect(legs.asks).toHaveLength(1);
    expect(legs.notes.filter(({ ahead }) => ahead).map(({ kind }) => kind)).toEqual([
      "accepted",
      "first token",
      "ended",
    ]);
    expect(legs.notes.filter(({ ahead }) => !ahead).map(({ kind }) => kind)).toEqual([
      "accepted",
      "first token",
      "ended",
    ]);
    legs.expectIdle();
  });

  it.each([false, true])("goes on when the worker of its prompt dies, ahead: %s", (isAhead) => {
    const legs = new Legs();
    legs.isAhead = isAhead;
    const { client } = legs.rig.start({ maxTokens: 4 });
    legs.rig.advance(5);
    legs.rig.kill(1n);
    legs.rig.advance(2_000);
    expect(client.tokens[0]).toEqual(answer(PROMPT, 0, 4));
    expect(legs.record()).toMatchObject({ outcome: "finished", workers: [1n, 3n] });
    legs.expectIdle();
  });

  it.each([false, true])("goes on when the worker of its answer dies, ahead: %s", (isAhead) => {
    for (const afterMs of [5, 25, 45, 65]) {
      const legs = new Legs();
      legs.isAhead = isAhead;
      const { client } = legs.rig.start({ maxTokens: 8 });
      legs.rig.advance(afterMs);
      legs.rig.kill(2n);
      legs.rig.advance(2_000);
      expect(client.tokens[0], `after ${afterMs} ms`).toEqual(answer(PROMPT, 0, 8));
      legs.expectIdle();
    }
  });

  it.each([false, true])("leaves nothing behind when its client leaves, ahead: %s", (isAhead) => {
    for (const afterMs of [0, 5, 25, 45]) {
      const legs = new Legs();
      legs.isAhead = isAhead;
      const { client, handle } = legs.rig.start({ maxTokens: 100 });
      legs.rig.advance(afterMs);
      handle.cancel();
      legs.rig.advance(100);
      legs.expectIdle();
      expect([client.usage, client.error, legs.record()?.outcome]).toEqual([undefined, undefined, "cancelled"]);
      expect(legs.notes.filter(({ kind }) => kind === "ended").length).toBe(legs.asks.length + (isAhead ? 1 : 0));
    }
  });

  it("is whole elsewhere when a worker cannot keep prompts, and computed again when one cannot go on from them", () => {
    const own = Object.values(LINK_FEATURES);
    const outdated = new Legs({ 1: own });
    const { client } = outdated.rig.start({ maxTokens: 3 });
    outdated.rig.advance(300);
    expect([client.tokens[0], outdated.record()?.workers]).toEqual([answer(PROMPT, 0, 3), [3n]]);
    const deaf = new Legs({ 2: own });
    const other = deaf.rig.start({ maxTokens: 3 });
    deaf.rig.advance(300);
    expect([other.client.tokens[0], deaf.record()?.workers]).toEqual([answer(PROMPT, 0, 3), [1n, 2n]]);
    expect(deaf.taken[1]?.session).toBeUndefined();
    expect(deaf.record()?.handOff).toMatchObject({ transferMs: undefined, blocks: 0 });
  });

  it.each([
    ["the prompt's", { 1: ["prefill"] }],
    ["the answer's", { 2: ["session"] }],
  ])("meets nobody where %s worker cannot: it is handed on when the prompt is computed", (_whose, features) => {
    const legs = new Legs(features);
    legs.isAhead = true;
    const { client } = legs.rig.start({ maxTokens: 3 });
    legs.rig.advance(300);
    expect(client.tokens[0]).toEqual(answer(PROMPT, 0, 3));
    expect(legs.asks.map(({ stage }) => stage)).toEqual([undefined, "hand-off"]);
    expect(legs.record()?.handOff).toMatchObject({ decodeWorker: 2n, blocks: 1 });
    legs.expectIdle();
  });
});
