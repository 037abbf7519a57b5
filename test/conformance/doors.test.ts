import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { DOORS, type DoorAnswer, type DoorAsk, Doors } from "../support/doors.ts";
import { pieceOf, type Script, tokensOf } from "../support/scripted-engine.ts";

let doors: Doors;
beforeAll(async () => {
  doors = await Doors.open();
});
afterAll(() => doors.close());

/** How fast tokens come: one by one, several in a step, several steps in a turn, all at once. */
const PACES = [
  { tokensPerStep: 1, stepsPerTurn: 1 },
  { tokensPerStep: 3, stepsPerTurn: 1 },
  { tokensPerStep: 1, stepsPerTurn: 5 },
  { tokensPerStep: 4, stepsPerTurn: 3 },
  { tokensPerStep: 100, stepsPerTurn: 1 },
] as const;

/** `ab xSTOPy cd STOP ef`, cut into tokens in several ways; the last pieces come behind every stop. */
const CUTS = [
  ["a", "b", " ", "x", "S", "T", "O", "P", "y", " cd ", "STOP", " ef"],
  ["ab ", "xS", "TOP", "y", " cd ", "ST", "OP", " ef"],
  ["ab ", "x", "STOP", "y", " cd ", "S", "TOP", " ef"],
  ["ab ", "xSTOPy", " cd ", "ST", "O", "P", " ef"],
  ["ab ", "xS", "T", "OP", "y c", "d ", "STOP", " ef"],
] as const;

/** What the tokens mean, by the plain rule: the first token behind the least number that completes a stop string ends it. */
function meant(ask: DoorAsk, tokens: readonly number[]): DoorAnswer {
  const { stop = [], includeStop = false, minTokens = 0, maxTokens = 100, choices = 1 } = ask;
  const said = tokens.slice(0, maxTokens);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let text = "";
  let count = 0;
  let end: string | undefined;
  for (const token of said) {
    const before = text.length;
    text += decoder.decode(pieceOf(token), { stream: true });
    count++;
    if (count <= minTokens) continue;
    for (let at = before + 1; at <= text.length && end === undefined; at++) {
      end = stop.find((each) => text.slice(0, at).endsWith(each));
      if (end !== undefined) text = text.slice(0, includeStop ? at : at - end.length);
    }
    if (end !== undefined) break;
  }
  if (end === undefined) text += decoder.decode();
  const finish = end === undefined && tokens.length > maxTokens ? "length" : "stop";
  const all = <T>(value: T): T[] => Array.from({ length: choices }, () => value);
  return { texts: all(text), finishes: all(finish), tokens: count * choices, error: undefined };
}

const ASKS: readonly [string, DoorAsk][] = [
  ["nothing more", {}],
  ["a stop string", { stop: ["STOP"] }],
  ["a stop string that stays", { stop: ["STOP"], includeStop: true }],
  ["a stop string behind a least number", { stop: ["STOP"], minTokens: 6 }],
  ["a stop string that the least number cuts", { stop: ["STOP", "zzz"], minTokens: 3 }],
  ["a stop string that never comes whole", { stop: ["STOPPED", " efg"] }],
  ["a stop string beyond the limit", { stop: ["STOP"], maxTokens: 2 }],
  ["several choices", { stop: ["Py", "d S"], choices: 3 }],
  ["log-probabilities", { stop: ["STOP"], logprobs: true }],
  ["log-probabilities up to the limit", { logprobs: true, maxTokens: 4, choices: 2 }],
];

describe.each(ASKS)("with %s", (_, ask) => {
  it.each(DOORS)("%s answers the same at any pace, wherever the tokens cut the text", async (door) => {
    for (const pieces of CUTS) {
      const tokens = tokensOf(pieces);
      const expected = meant(ask, tokens);
      for (const pace of PACES) {
        const about = `${pieces.join("|")} at ${pace.tokensPerStep} x ${pace.stepsPerTurn}`;
        const before = doors.ledger.totals.completionTokens;
        expect(await doors.ask(door, ask, { tokens, ...pace }), about).toEqual(expected);
        if (door === "openengine.v1") continue;
        expect(doors.ledger.totals.completionTokens - before, `the record: ${about}`).toBe(expected.tokens);
      }
    }
  });
});

const scale = Number(process.env.TEST_SCALE ?? 1);

it("requests at random are answered the same at every door and pace", async () => {
  const chance = new SeededChance(11n);
  const words = ["a", "é", "😀", "STOP", "ST", "OP", "xS", "TOP", "Py", "xSTOPy", "S", "T"];
  const stops = ["STOP", "é", "😀", "OPx", "aST", "Pya", "yS"];
  const some = <T>(from: readonly T[], most: number) =>
    Array.from({ length: pick(chance, most + 1) }, () => from[pick(chance, from.length)]!);
  for (let round = 0; round < 60 * scale; round++) {
    const tokens = tokensOf(some(words, 12)).slice(0, 20 - pick(chance, 4));
    const ask: DoorAsk = {
      ...{ stop: some(stops, 3), includeStop: pick(chance, 3) === 0, minTokens: pick(chance, 3) * pick(chance, 4) },
      ...{ maxTokens: 9 + pick(chance, 12), logprobs: pick(chance, 2) === 0, choices: 1 + pick(chance, 2) },
    };
    const pace = { tokensPerStep: 1 + pick(chance, 4), stepsPerTurn: 1 + pick(chance, 4) };
    for (const door of DOORS) {
      const about = `round ${round} at ${door}: ${JSON.stringify({ ask, tokens, pace })}`;
      expect(await doors.ask(door, ask, { tokens, ...pace }), about).toEqual(meant(ask, tokens));
    }
  }
});

/** What the prompt is differs, and whether an engine sees what ends a text. */
const LEFT_OUT = ["id", "promptTokens", "stopTexts", "includeStop"];

function printAsked(name: string, value: unknown): unknown {
  if (LEFT_OUT.includes(name)) return undefined;
  return typeof value === "bigint" ? String(value) : value;
}

it("an ask is the same for an engine, whatever door it came in at", async () => {
  const draw = { temperature: 0.5, topP: 0.75, topK: 40, minP: 0.25, penalty: 1.5, seed: 77n };
  const more = { salt: "s", stopToken: 260, ignoreEos: true, minTokens: 3, maxTokens: 9, choices: 2 };
  const asks: readonly DoorAsk[] = [
    { draw, ...more, stop: ["STOP"], logprobs: true, json: true },
    { draw: { ...draw, temperature: 0, topK: -1, topP: 1, minP: 0, seed: 2n ** 53n - 1n } },
  ];
  for (const ask of asks) {
    const seen = new Set<string>();
    for (const door of DOORS) seen.add(JSON.stringify(await doors.asked(door, ask), printAsked));
    expect([...seen]).toEqual([expect.stringContaining(`"seed":"${ask.draw?.seed}"`)]);
  }
});

describe("a choice that a stop string ended", () => {
  it.each(DOORS)("stops its worker at once: %s", async (door) => {
    const tokens = tokensOf(["a", "STOP", ..."b".repeat(200)]);
    const ask = { stop: ["STOP"], maxTokens: 300, choices: 2 };
    for (const stepsPerTurn of [1, 4]) {
      await doors.ask(door, ask, { tokens, tokensPerStep: 1, stepsPerTurn });
      const cancels = doors.engine.cancels.flatMap(({ ids, mode }) => ids.map(() => mode));
      expect(cancels).toEqual(["stop", "stop"]);
      // What the turn had begun, and what ran while the word was under way.
      expect(Math.max(...doors.engine.said)).toBeLessThan(2 + 6 * stepsPerTurn);
    }
  });

  it.each(DOORS)("is whole whatever becomes of its worker behind it: %s", async (door) => {
    const error = new StatorError("INVALID_GRAMMAR", { detail: "a bad rule" });
    const script = { tokens: tokensOf(["a", "STOP", "b"]), error };
    for (const pace of PACES) {
      const answer = await doors.ask(door, { stop: ["STOP"] }, { ...script, ...pace });
      expect(answer).toEqual({ texts: ["a"], finishes: ["stop"], tokens: 2, error: undefined });
    }
  });
});

describe("an error", () => {
  const error = new StatorError("INVALID_GRAMMAR", { detail: "a bad rule" });
  const asks: readonly [string, DoorAsk][] = [
    ["", {}],
    ["with what was held back for a stop string", { stop: ["STOPPED"] }],
    ["with log-probabilities", { stop: ["STOPPED"], logprobs: true }],
  ];

  it.each(asks)("loses no token that came before it %s", async (_, ask) => {
    const tokens = tokensOf(["a", "b", "xS", "TOP"]);
    for (const door of ["chat stream", "completions stream", "openengine.v1", "kserve stream"] as const) {
      for (const pace of PACES) {
        const { texts, finishes, error: told } = await doors.ask(door, ask, { tokens, error, ...pace });
        expect([texts, finishes, told], `${door} at ${pace.tokensPerStep} x ${pace.stepsPerTurn}`).toEqual([
          ["abxSTOP"],
          [],
          "failed",
        ]);
      }
    }
  });

  it("is a status where nothing came before it, and in a unary answer", async () => {
    for (const door of ["chat", "chat stream", "completions", "completions stream", "kserve"] as const) {
      const pieces = door.endsWith("stream") ? [] : ["a"];
      const script = { tokens: tokensOf(pieces), error, tokensPerStep: 1, stepsPerTurn: 1 };
      expect(await doors.ask(door, {}, script)).toEqual({
        texts: [],
        finishes: [],
        tokens: undefined,
        error: "failed",
      });
    }
  });
});

describe("the events of a stream", () => {
  const streams = ["chat stream", "completions stream"] as const;
  const script = { tokens: tokensOf(CUTS[1]) };

  it.each(streams)("tell the last text and the finish apart, in OpenAI's shape: %s", async (door) => {
    for (const ask of [{}, { stop: ["STOP"] }, { stop: ["TOPPED"] }, { maxTokens: 3 }, { logprobs: true }]) {
      for (const pace of PACES) {
        const chunks = await doors.stream(door, ask, { ...script, ...pace });
        const choices = chunks.flatMap((chunk) => chunk.choices);
        const last = choices.pop()!;
        expect(last.finish_reason).toMatch(/^(stop|length)$/);
        expect(last.delta ?? { text: last.text }).toEqual(door === "chat stream" ? {} : { text: "" });
        expect(choices.map(({ finish_reason }) => finish_reason)).toEqual(choices.map(() => null));
        expect(choices.at(-1)!.delta?.content ?? choices.at(-1)!.text).not.toBe("");
      }
    }
  });

  it.each(streams)("never join tokens with log-probabilities, and tell the same at any pace: %s", async (door) => {
    const seen = new Set<string>();
    for (const pace of PACES) {
      const chunks = await doors.stream(door, { stop: ["STOP"], logprobs: true }, { ...script, ...pace });
      const choices = chunks.flatMap((chunk) => chunk.choices);
      for (const { logprobs } of choices) {
        expect((logprobs?.content ?? logprobs?.tokens)!.length).toBeLessThanOrEqual(1);
      }
      seen.add(JSON.stringify(choices));
    }
    expect(seen.size).toBe(1);
  });

  it("never join tokens with log-probabilities, and tell the same at any pace: openengine.v1", async () => {
    const seen = new Set<string>();
    for (const pace of PACES) {
      const deltas = await doors.deltas({ stop: ["STOP"], logprobs: true }, { ...script, ...pace });
      expect(deltas.map(({ length }) => length)).toEqual(deltas.map(() => 2));
      seen.add(JSON.stringify(deltas));
    }
    expect(seen.size).toBe(1);
  });

  it.each(streams)("count the tokens that they told so far, at last those of the record: %s", async (door) => {
    for (const stop of [[], ["STOP"]]) {
      for (const pace of PACES) {
        const ask = { stop, choices: 2, continuous: true };
        const counts = (await doors.stream(door, ask, { ...script, ...pace })).map(
          ({ usage }) => usage!.completion_tokens,
        );
        expect(counts).toEqual(counts.toSorted((left, right) => left - right));
        expect(counts.at(-2), "at the last finish").toBe(counts.at(-1));
      }
    }
  });
});

describe("a frontend that always joins", () => {
  let joining: Doors;
  beforeAll(async () => {
    joining = await Doors.open({ alwaysJoin: true, joinMs: 5 });
  });
  afterAll(() => joining.close());

  it.each(["chat stream", "completions stream", "kserve stream"] as const)("answers the same: %s", async (door) => {
    for (const [, ask] of ASKS) {
      for (const pieces of CUTS) {
        const tokens = tokensOf(pieces);
        for (const pace of PACES) {
          const script: Script = { tokens, ...pace };
          expect(await joining.ask(door, ask, script)).toEqual(meant(ask, tokens));
        }
      }
    }
  });

  it("loses no token before an error", async () => {
    const error = new StatorError("INVALID_GRAMMAR", { detail: "a bad rule" });
    for (const pace of PACES) {
      const script = { tokens: tokensOf(["a", "b", "c", "d"]), error, ...pace };
      const { texts, error: told } = await joining.ask("chat stream", {}, script);
      expect([texts, told]).toEqual([["abcd"], "failed"]);
    }
  });
});

describe("the form of an answer", () => {
  const script: Script = { tokens: tokensOf(["1"]), tokensPerStep: 1, stepsPerTurn: 1 };
  it.each(DOORS)("comes to the engine as it was asked at %s, for every choice", async (door) => {
    const schema = '{"type":"integer"}';
    const seen: unknown[] = [];
    doors.engine.onSubmit = (request) => void (request.kind === "generate" && seen.push(request.guidance));
    const answer = await doors.ask(door, { schema, choices: 2 }, script);
    doors.engine.onSubmit = undefined;
    expect(answer).toMatchObject({ texts: ["1", "1"], error: undefined });
    expect(seen).toEqual([0, 1].map(() => ({ kind: "jsonSchema", schema })));
  });

  it.each(DOORS)("is refused by keyword and path at %s, before anything is said", async (door) => {
    const [status, words] = await doors.refusal(door, { schema: '{"properties":{"a":{"not":{}}}}' });
    expect(status).toBe(door === "openengine.v1" ? "UNSUPPORTED_SCHEMA" : 400);
    expect(words).toBe("The JSON schema uses not at #/properties/a, which is not supported.");
    expect(doors.engine.open.size).toBe(0);
  });
});
