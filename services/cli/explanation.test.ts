import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ExplanationSchema } from "#gen/stator/router/v1/router_pb";
import { printExplanation } from "./explanation.ts";

const plain = (text: string) => text;
const PAINT = {
  bold: plain,
  dim: plain,
  red: plain,
  green: (text: string) => `<${text}>`,
  yellow: (text: string) => `!${text}`,
};

const KNOWN = { preferenceFactor: 1, prefixesKnown: true, timesKnown: true } as const;
const TWO = [
  {
    ...KNOWN,
    worker: 1n,
    cost: 7.06,
    terms: [term("its own prefill", 7), term("delay", 16, false), term("wait", 0)],
    deviceTokens: 352,
  },
  {
    ...KNOWN,
    worker: 2n,
    cost: 22.1,
    terms: [term("its own prefill", 22.1)],
    hostTokens: 16,
    prefillTokens: 5,
    openRequests: 2,
  },
];

function term(name: string, value: number, counts = true) {
  return { name, value, counts };
}

function shown(more: MessageInitShape<typeof ExplanationSchema>): string {
  const usual = {
    requestId: "r",
    agoMs: 1_234,
    promptTokens: 368,
    rule: "ttft",
    unit: "ms",
    decision: "ttft, 7.06 ms",
  };
  return printExplanation(create(ExplanationSchema, { ...usual, candidates: TWO, candidateCount: 2, ...more }), PAINT);
}

test("a decision is shown with its candidates, the chosen one marked, and terms that are nothing left out", () => {
  const flips = [
    { what: "cached tokens", candidate: 0, by: -1, cost: 1, chooses: 1 },
    { what: "open requests", candidate: 0, by: 12, cost: 1, chooses: 1 },
  ];
  const [predicted, seen] = [
    { firstTokenMs: 7, cachedTokens: 352 },
    { firstTokenMs: 12.2, cachedTokens: 336 },
  ];
  expect(shown({ flips, predicted, seen })).toBe(
    `
Request r, 1.2 s ago: 368 tokens
ttft, 7.06 ms

    WORKER            COST, ms  ITS OWN PREFILL  DELAY  CACHED       TO COMPUTE  OPEN
<->  0000000000000001  7.06      7                (16)   352          0           0>
    0000000000000002  22.1      22.1             -      0 + 16 host  5           2

Foreseen: the first token after 7 ms, 352 tokens cached. Seen: the first token after 12.2 ms, 336 tokens cached.
With 1 fewer cached token at 0000000000000001 it would have gone to 0000000000000002.
With 12 more open requests at 0000000000000001 it would have gone to 0000000000000002.`.trimStart(),
  );
});

test("a request and workers are called as somebody else knows them", () => {
  const flips = [{ what: "cached tokens", candidate: 0, by: -1, cost: 1, chooses: 1 }];
  const explanation = create(ExplanationSchema, { requestId: "7", promptTokens: 9, candidates: TWO, flips });
  const text = printExplanation(explanation, PAINT, { request: "Row 7", worker: (id) => `worker ${id - 1n}` });
  expect(text).toMatch(/^Row 7: 9 tokens\n/);
  expect(text).toMatch(/^<-> {2}worker 0 /m);
  expect(text).toContain("With 1 fewer cached token at worker 0 it would have gone to worker 1.");
});

test("what was not known, weighed or in force is said", () => {
  const candidates = [
    { ...TWO[0]!, prefixesKnown: false, preferenceFactor: 0.37, rank: 0 },
    { ...TWO[1]!, rank: 1, cost: Number.POSITIVE_INFINITY },
  ];
  const text = shown({
    candidates,
    why: "ttft needs prefixes.",
    rule: "power-of-two",
    missing: [{ need: "times", candidates: 1 }],
  });
  expect(text).toContain("!power-of-two is in force: ttft needs prefixes.");
  expect(text).toContain("!Not known: the times of 1 of them.");
  expect(text).toMatch(/0000000000000001\/0 .* x 0.37 +\? /);
  expect(text).toMatch(/0000000000000002\/1 +left out/);
});

test("a prompt that was not sent would go, and of very many candidates the cheapest and the chosen one are shown", () => {
  const candidates = Array.from({ length: 40 }, (_, at) => ({ ...KNOWN, worker: BigInt(at + 1), cost: at, terms: [] }));
  const flips = [{ what: "cached tokens", candidate: 1, by: 16, cost: 1, chooses: 1 }];
  const text = shown({ requestId: "", candidates, candidateCount: 50, chosen: 30, flips });
  expect(text).toContain("A prompt that comes now: 368 tokens");
  expect(text).toContain("With 16 more cached tokens at 0000000000000002 it would go to 0000000000000002.");
  expect(text).toContain("and 34 more that cost no less");
  expect(text.match(/^<?(->)? +[0-9a-f]{16}/gm)).toHaveLength(16);
  expect(text).toMatch(/<-> +000000000000001f/);
});

test("of a leg it is said which, and of both ways of a prompt what they were priced at", () => {
  const bypass = {
    rule: "priced",
    terms: [
      term("whole: prefill", 7),
      term("whole: late tokens", 21),
      term("split: prefill", 7),
      term("split: wait", 0),
    ],
  };
  const line = (more: object, leg = "prefill") => shown({ leg, bypass: { ...bypass, ...more } }).split("\n");
  expect(line({})[0]).toBe("Request r, 1.2 s ago: 368 tokens, to be computed for an answer elsewhere");
  expect(line({}, "decode")[0]).toMatch(/368 tokens, computed elsewhere: where the answer goes on$/);
  expect(line({}, "whole")[0]).toMatch(/368 tokens$/);
  expect(line({})).toContain(
    "Computed apart from its answer, by priced. whole 28 ms: prefill 7, late tokens 21; split 7 ms: prefill 7.",
  );
  expect(line({ isBypassed: true, terms: [] })).toContain(
    "Computed where its answer is made: it has no complete block to hand over.",
  );
  expect(line({ isVetoed: true, terms: [term("split: wait", 0)] })).toContain(
    "Computed apart from its answer, by priced, though it said otherwise: the blocks for answers are nearly all in use. split 0 ms: nothing.",
  );
});
