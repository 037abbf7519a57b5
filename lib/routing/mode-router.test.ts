import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { printDecision } from "./decision.ts";
import { ModeRouter, type Unplaced } from "./mode-router.ts";
import { NO_WISHES, type RouteAnswer, type RouteAsk, type Ticket } from "./router.ts";
import type { RouterMode } from "./select.ts";

function ask(more: Partial<RouteAsk> = {}): RouteAsk {
  return {
    ...{ requestId: "r", model: "m", prompts: [Uint32Array.of(1)], tokenizer: "", choices: [0], choicesPerPrompt: 1 },
    ...{ kind: "generate", adapter: undefined, texts: [] },
    ...{ salt: "", priority: 0, deadlineMs: undefined, target: undefined, weights: undefined, isNew: true },
    avoid: new Set(),
    ...NO_WISHES,
    ...more,
  };
}

function rig(
  mode: RouterMode,
  able: ReadonlyMap<bigint, string> | Unplaced = new Map([
    [1n, "w"],
    [2n, "w"],
    [3n, "x"],
  ]),
) {
  const router = new ModeRouter({ mode, chance: new SeededChance(1n), locate: () => able });
  return (more: Partial<RouteAsk> = {}): { answer: RouteAnswer; ticket: Ticket } => {
    const answers: RouteAnswer[] = [];
    const ticket = router.place(ask(more), (answer) => answers.push(answer));
    expect(answers).toHaveLength(1);
    return { answer: answers[0]!, ticket };
  };
}

it("tells how many choices it counts at all workers", () => {
  const locate = () => new Map([1n, 2n].map((worker) => [worker, "w"]));
  const router = new ModeRouter({ mode: "round-robin", chance: new SeededChance(1n), locate });
  const tickets = [[0, 1, 2], [3]].map((choices) => router.place(ask({ choices }), () => {}));
  const counts = [router.openChoices];
  tickets[0]?.note({ kind: "ended", choice: 1 });
  counts.push(router.openChoices);
  for (const ticket of tickets) ticket.cancel();
  expect([...counts, router.openChoices]).toEqual([4, 3, 0]);
});

/** `worker: choices, why` of each place. */
function shown({ answer }: { answer: RouteAnswer }): string[] {
  if (answer.kind === "unplaced") return [`${answer.error.reason}${answer.final ? ", final" : ""}`];
  return answer.places.map(({ target, choices, weights, decision }) => {
    return `${target.worker} ${weights}: ${choices.join(" ")}, ${printDecision(decision)}`;
  });
}

describe("a router by mode", () => {
  it("places prompts one by one, and keeps the choices of one prompt together", () => {
    const place = rig("round-robin");
    const choices = Array.from({ length: 8 }, (_, at) => at);
    expect(shown(place({ choices, choicesPerPrompt: 2 }))).toEqual([
      "1 w: 0 1 6 7, round-robin, 1 of 3",
      "2 w: 2 3, round-robin, 2 of 3",
      "3 x: 4 5, round-robin, 3 of 3",
    ]);
    // It goes on where it stood.
    expect(shown(place({ choices: [5], choicesPerPrompt: 2 }))).toEqual(["2 w: 5, round-robin, 2 of 3"]);
  });

  it("places whatever is asked for, tensors too, which it never sees", () => {
    const place = rig("round-robin");
    for (const kind of ["prefill", "embed", "encode", "score"] as const) expect(shown(place({ kind }))).toHaveLength(1);
    const tensor = place({ kind: "tensor", prompts: [new Uint32Array(0)] });
    expect(shown(tensor)).toEqual(["2 w: 0, round-robin, 2 of 3"]);
  });

  it("spreads many prompts by load, counting what it has just placed", () => {
    const place = rig("least-loaded");
    const { answer } = place({ choices: Array.from({ length: 128 }, (_, at) => at) });
    const counts = answer.kind === "placed" ? answer.places.map(({ choices }) => choices.length) : [];
    expect(counts.sort()).toEqual([42, 43, 43]);
  });

  it("counts a choice until it ended, once, or its ticket is given back", () => {
    const place = rig("least-loaded", new Map([[1n, "w"]]));
    const first = place({ choices: [0, 1], choicesPerPrompt: 2 });
    const second = place();
    expect(shown(second)).toEqual(["1 w: 0, least-request, 2 open, of 1"]);
    first.ticket.note({ kind: "accepted", choice: 0, cachedTokens: 0 });
    first.ticket.note({ kind: "first token", choice: 0 });
    expect(shown(place())).toEqual(["1 w: 0, least-request, 3 open, of 1"]);
    for (let twice = 0; twice < 2; twice++) first.ticket.note({ kind: "ended", choice: 0 });
    expect(shown(place())).toEqual(["1 w: 0, least-request, 3 open, of 1"]);
    first.ticket.cancel();
    first.ticket.cancel();
    second.ticket.note({ kind: "ended", choice: 7 });
    expect(shown(place())).toEqual(["1 w: 0, least-request, 3 open, of 1"]);
    const alone = rig("least-loaded", new Map([[1n, "w"]]));
    alone().ticket.cancel();
    expect(shown(alone())).toEqual(["1 w: 0, least-request, 0 open, of 1"]);
  });

  it("passes on why nobody can take it, and asks for a worker's name where only that decides", () => {
    const error = new StatorError("NO_WORKERS", { model: "m" });
    for (const final of [true, false]) {
      const place = rig("random", { kind: "unplaced", error, final });
      expect(shown(place())).toEqual([`NO_WORKERS${final ? ", final" : ""}`]);
      place().ticket.cancel();
    }
    expect(shown(rig("direct")())).toEqual(["INVALID_ARGUMENT, final"]);
    expect(shown(rig("direct", new Map([[2n, "w"]]))({ target: { worker: 2n, rank: 1 } }))).toEqual([
      "2 w: 0, direct, pinned",
    ]);
  });
});

it("prints each decision in one phrase", () => {
  expect(printDecision({ rule: "pinned" })).toBe("direct, pinned");
  expect(printDecision({ rule: "random", at: 1, of: 2 })).toBe("random, 1 of 2");
  expect(printDecision({ rule: "power-of-two", open: 3, of: 4 }, 749.6)).toBe(
    "power-of-two, 3 open, of 4, waited 750 ms",
  );
});

it("waits for nobody when it is to be told the worker and is not, whoever is there", () => {
  const error = new StatorError("NO_WORKERS", { model: "m" });
  const place = rig("direct", { kind: "unplaced", error, final: false });
  expect(shown(place())).toEqual(["NO_WORKERS, final"]);
  expect(shown(place({ target: { worker: 1n, rank: undefined } }))).toEqual(["NO_WORKERS"]);
});

it("counts each choice of a worker until it ends, and none twice", () => {
  const place = rig("least-loaded", new Map([[1n, "w"]]));
  const first = place({ choices: [0, 1, 2] });
  expect(shown(place())).toEqual(["1 w: 0, least-request, 3 open, of 1"]);
  for (let times = 0; times < 2; times++) first.ticket.note({ kind: "ended", choice: 1 });
  first.ticket.note({ kind: "first token", choice: 0 });
  first.ticket.note({ kind: "ended", choice: 2 });
  expect(shown(place())).toEqual(["1 w: 0, least-request, 2 open, of 1"]);
  first.ticket.cancel();
  first.ticket.cancel();
  expect(shown(place())).toEqual(["1 w: 0, least-request, 2 open, of 1"]);
});

it("still counts the last choice of a worker", () => {
  const place = rig("least-loaded", new Map([[1n, "w"]]));
  const first = place({ choices: [0, 1] });
  first.ticket.note({ kind: "ended", choice: 0 });
  expect(shown(place())).toEqual(["1 w: 0, least-request, 1 open, of 1"]);
});
