import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CancelMode, RequestKind, SubmitSchema } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { FakeClock } from "#lib/base/clock";
import { assert } from "#lib/base/errors";
import { openCallerLink } from "#lib/link/caller-link";
import type { CallerLink } from "#lib/link/link";
import { createMemoryLink, type MemoryLink } from "#lib/link/memory-channel";
import { eachSeed, SCALE } from "../../test/support/seeds.ts";
import { createPracticeWorker, practiceToken } from "./practice-worker.ts";

/** What a naive caller remembers of one request. */
interface Known {
  readonly handle: number;
  readonly prompt: Uint32Array;
  readonly maxTokens: number;
  readonly tokens: number[];
  accepted: boolean;
  terminal: string;
  cancelled: boolean;
  abandoned: boolean;
}

/** Longest time that a message is under way. */
const MOST_DELAY_MS = 20;

/** Prompts that are split take most of the time: only the first worlds have many. */
const SEEDS_WITH_LONG = 80n;

/** One link with everything that can happen to it, in an order drawn from a seed. */
class World {
  readonly chance: Chance;
  readonly #longOneIn: number;
  readonly clock = new FakeClock();
  readonly wire: MemoryLink;
  readonly worker;
  readonly link: CallerLink;
  readonly known: Known[] = [];
  cut = false;

  constructor(seed: bigint) {
    this.chance = new SeededChance(seed);
    this.#longOneIn = seed <= SEEDS_WITH_LONG ? 6 : 200;
    // A chance of its own: what a seed does is not what its wire does.
    const weather = new SeededChance(seed ^ 0xffff_ffffn);
    this.wire = createMemoryLink(this.clock, () => pick(weather, MOST_DELAY_MS + 1));
    // Small limits, so that prompts are split, steps merge and places run out.
    const limits = { maxMessageBytes: 8 * 1024, mergeAboveBytes: 512, maxOpenHandles: 24 };
    const shared = { clock: this.clock, limits };
    const about = { instanceId: 1n, incarnation: 1n, model: "m", stepMs: 3, maxRequests: 16 };
    this.worker = createPracticeWorker({ ...about, ...shared });
    this.worker.serve(this.wire.worker);
    const listener = { onState() {}, onWelcome() {}, onStep() {}, onNotice() {} };
    this.link = openCallerLink(this.wire.caller, { ...shared, caller: "test", listener });
    this.clock.settle();
  }

  act(): void {
    const one = this.known[pick(this.chance, Math.max(1, this.known.length))];
    const dice = pick(this.chance, 100);
    if (dice < 25) this.submit();
    else if (dice < 30 && one) {
      one.cancelled = true;
      this.link.cancel(one.handle, dice % 2 === 0 ? CancelMode.STOP : CancelMode.KILL);
    } else if (dice < 33 && one) {
      one.abandoned = true;
      this.link.abandon(one.handle);
    } else if (dice < 36) this.wire.freeze(dice % 2 === 0 ? "caller" : "worker");
    else if (dice < 44) this.thaw();
    else if (dice < 70) this.clock.turn();
    else this.clock.advance(pick(this.chance, 8));
  }

  thaw(): void {
    this.wire.thaw("caller");
    this.wire.thaw("worker");
  }

  submit(): void {
    const long = pick(this.chance, this.#longOneIn) === 0;
    const prompt = Uint32Array.from({ length: 1 + pick(this.chance, long ? 9_000 : 20) }, () => pick(this.chance, 500));
    const maxTokens = 1 + pick(this.chance, 12);
    const known: Known = {
      ...{
        handle: 0,
        prompt,
        maxTokens,
        tokens: [],
        accepted: false,
        terminal: "",
        cancelled: false,
        abandoned: false,
      },
    };
    const submit = create(SubmitSchema, {
      ...{ requestId: "r", kind: RequestKind.GENERATE, model: "m", promptTokenIds: writeU32(prompt) },
      stopping: { maxTokens },
    });
    const end = (what: string) => {
      assert(known.terminal === "" && !known.abandoned, "one end, and none of what was abandoned");
      known.terminal = what;
    };
    try {
      const handle = this.link.submit(submit, {
        onAccepted() {
          assert(!known.accepted && known.terminal === "" && !known.abandoned, "accepted once, before its end");
          known.accepted = true;
        },
        onTokens(tokens, start, stop) {
          assert(known.accepted && known.terminal === "" && !known.abandoned, "tokens between acceptance and end");
          known.tokens.push(...tokens.subarray(start, stop));
        },
        onText() {},
        onEmbedding() {},
        onFinish: (finish) => end(finish.error?.reason ?? finish.reason),
        onLost: (_error, accepted) => end(accepted ? "lost" : "lost before"),
      });
      this.known.push(Object.assign(known, { handle }));
    } catch {
      // Every handle is open, or the link is cut.
    }
  }

  finish(cut: boolean): void {
    this.thaw();
    if (cut) this.wire.cut();
    for (let at = 0; at < 60; at++) {
      this.clock.advance(3);
    }
  }

  check(cut: boolean): void {
    expect(this.worker.openRequests).toBe(0);
    expect(this.link.openRequests).toBe(0);
    for (const { prompt, maxTokens, tokens, accepted, terminal, cancelled, abandoned } of this.known) {
      for (const [at, token] of tokens.entries()) assert(token === practiceToken(prompt, 0, at), "tokens in order");
      if (abandoned) continue;
      // Assertions of our own: an expectation costs more than a step.
      if (terminal === "length") assert(tokens.length === maxTokens, "a whole answer");
      else if (terminal === "cancelled") assert(cancelled, "cancelled by us");
      else if (terminal === "OVERLOADED" || terminal === "lost before") assert(!accepted, `${terminal}, not accepted`);
      else assert(terminal === "lost" && cut && accepted, `${terminal}: lost with the wire, once accepted`);
    }
  }
}

describe("a link under random events", () => {
  it(
    "ends every request once, with its tokens in order",
    () => {
      const terminals = new Map<string, number>();
      eachSeed(1_000, (seed) => {
        const world = new World(BigInt(seed));
        const cut = seed % 5 === 0;
        for (let acts = 0; acts < 300; acts++) world.act();
        world.finish(cut);
        world.check(cut);
        for (const { terminal } of world.known) terminals.set(terminal, (terminals.get(terminal) ?? 0) + 1);
      });
      for (const terminal of ["length", "cancelled", "OVERLOADED", "lost"]) {
        expect(terminals.get(terminal), terminal).toBeGreaterThan(20);
      }
    },
    60_000 + 30_000 * SCALE,
  );
});
