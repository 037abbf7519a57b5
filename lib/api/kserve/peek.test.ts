import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  type ModelInferRequest,
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { equalBytes, parseHex } from "#lib/base/bytes";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { eachSeed } from "../../../test/support/seeds.ts";
import { PEEK_LIMITS, peekInferRequest, tellsStreamError } from "./peek.ts";

const encode = (init: Parameters<typeof create<typeof ModelInferRequestSchema>>[1]) =>
  toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, init));

/** The head as a whole parse of the message has it. */
const headOf = ({ modelName, modelVersion, id, parameters }: ModelInferRequest) => ({
  modelName,
  modelVersion,
  id,
  parameters: new Map(Object.entries(parameters).map(([key, { parameterChoice }]) => [key, parameterChoice.value])),
});

describe("the head of a request", () => {
  it("is read from what a client really sends, past its tensors", () => {
    const wire = parseHex(
      "0a016d1a02723122100a0a6d61785f746f6b656e7312021008220d0a046d6f646512051a03726177220a0a04666c61671202080122180a0b74656d7065726174757265120921000000000000e03f2a160a0a746578745f696e707574120542595445531a01013a090500000068656c6c6f",
    );
    expect(peekInferRequest(wire)).toEqual({
      modelName: "m",
      modelVersion: "",
      id: "r1",
      parameters: new Map<string, unknown>([
        ["max_tokens", 8n],
        ["mode", "raw"],
        ["flag", true],
        ["temperature", 0.5],
      ]),
    });
  });

  it("is the last of each where a field comes twice, and of an empty message empty", () => {
    const twice = Buffer.concat([encode({ modelName: "a", id: "1" }), encode({ modelName: "b" })]);
    expect(peekInferRequest(twice)).toMatchObject({ modelName: "b", id: "1" });
    expect(peekInferRequest(new Uint8Array(0))).toEqual(headOf(create(ModelInferRequestSchema)));
  });

  it("costs no copy of a payload: 8 MiB are stepped over", () => {
    const bytes = encode({ modelName: "m", rawInputContents: [new Uint8Array(8 << 20)] });
    const before = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 100; count++) expect(peekInferRequest(bytes).modelName).toBe("m");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
  });

  it.each([
    ["a length beyond the end", "0aff01"],
    ["half a number", "0880"],
    ["a field without a number", "00"],
    ["a group", "4b4c"],
    ["the end of a group", "4c"],
    ["a name that is no UTF-8", "0a01ff"],
    ["a name of another type", "0801"],
    ["a parameter that is none", "2204120208"],
    ["a length that is no length", "0affffffffffffffffffff01"],
  ])("is refused of %s", (_, hex) => {
    expect(() => peekInferRequest(parseHex(hex))).toThrow("The bytes are not an inference.ModelInferRequest");
  });

  it("is bounded in fields, parameters and the length of texts", () => {
    const limits = { fields: 4, parameters: 2, textBytes: 8 };
    const parameter = { parameterChoice: { case: "boolParam", value: true } } as const;
    const fits = encode({ modelName: "12345678", id: "1", parameters: { a: parameter, b: parameter } });
    expect(peekInferRequest(fits, limits).parameters.size).toBe(2);
    const refused = (init: Parameters<typeof encode>[0]) => () => peekInferRequest(encode(init), limits);
    expect(refused({ modelName: "123456789" })).toThrow("at most 8 bytes, and one has 9");
    expect(refused({ parameters: { a: parameter, b: parameter, c: parameter } })).toThrow("at most 2 parameters");
    expect(refused({ inputs: [{}, {}, {}, {}, {}] })).toThrow("at most 4 fields");
    expect(() => peekInferRequest(new Uint8Array(2 * (PEEK_LIMITS.fields + 1)).fill(0x28))).toThrow(StatorError);
  });

  it("is what a whole parse finds, or typed refused, whatever happened to the bytes", () => {
    let compared = 0;
    eachSeed(400, (seed) => {
      const chance = new SeededChance(BigInt(seed));
      const bytes = encode({
        modelName: "model",
        modelVersion: "1",
        id: `request ${seed}`,
        parameters: {
          priority: { parameterChoice: { case: "uint64Param", value: 7n } },
          text: { parameterChoice: { case: "stringParam", value: "é" } },
        },
        inputs: [{ name: "INPUT0", datatype: "INT32", shape: [1n, 16n], contents: { intContents: [1, 2, 3] } }],
        rawInputContents: [Uint8Array.of(1, 2, 3, 4)],
      });
      const changed = bytes.slice(0, pick(chance, 4) === 0 ? pick(chance, bytes.length) : bytes.length);
      for (let count = pick(chance, 4); count > 0; count--)
        changed[pick(chance, changed.length || 1)] = pick(chance, 256);
      let head: unknown;
      try {
        head = peekInferRequest(changed);
      } catch (error) {
        expect(error).toMatchObject({ reason: "INVALID_ARGUMENT" });
        return;
      }
      let whole: ModelInferRequest;
      try {
        whole = fromBinary(ModelInferRequestSchema, changed);
      } catch {
        // What is wrong inside of a tensor is not looked at here.
        return;
      }
      // A tensor that is longer than it says is read to its end by that parse, and what comes after it otherwise.
      if (!equalBytes(toBinary(ModelInferRequestSchema, whole), changed)) return;
      compared++;
      expect(head).toEqual(headOf(whole));
    });
    expect(compared).toBeGreaterThan(100);
  });
});

describe("an answer on a stream", () => {
  const encodeAnswer = (init: Parameters<typeof create<typeof ModelStreamInferResponseSchema>>[1]) =>
    toBinary(ModelStreamInferResponseSchema, create(ModelStreamInferResponseSchema, init));

  it("tells of an error or of none", () => {
    const inferResponse = create(ModelInferResponseSchema, { rawOutputContents: [new Uint8Array(100)] });
    expect(tellsStreamError(encodeAnswer({ errorMessage: "boom", inferResponse: { id: "r1" } }))).toBe(true);
    expect(tellsStreamError(encodeAnswer({ inferResponse }))).toBe(false);
    expect(tellsStreamError(Uint8Array.of(0x0a, 9))).toBe(false);
    expect(tellsStreamError(new Uint8Array(0))).toBe(false);
  });
});
