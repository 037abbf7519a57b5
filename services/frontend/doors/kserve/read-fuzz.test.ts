import { expect, it } from "vitest";
import type { ModelInferRequest } from "#gen/inference/infer_pb";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { RAW_REQUEST, TYPED_REQUEST } from "../../../../test/contract/inference-vectors.ts";
import { decodeRequest, drawRequest, mutate } from "../../../../test/support/kserve-fuzz.ts";
import { eachSeed } from "../../../../test/support/seeds.ts";
import { type InferAbout, readInfer } from "./read.ts";

const ABOUT: readonly InferAbout[] = [
  { generate: true, embed: false, stream: "allowed" },
  { generate: true, embed: true, stream: "refused", region: () => Uint8Array.of(1, 0, 0, 0, 0x41) },
  { generate: false, embed: true, stream: "allowed" },
];

/** An ask that makes sense, or an error of the caller's. */
function check(request: ModelInferRequest, about: InferAbout): number {
  try {
    const { ask, form } = readInfer(request, about);
    expect(
      ask.input.kind === "text" ? ask.input.texts.length : ask.input.kind === "tokens" && ask.input.prompts.length,
    ).toBeGreaterThan(0);
    expect(form.outputs.length).toBeGreaterThan(0);
    return 1;
  } catch (error) {
    if (!(error instanceof StatorError)) throw error;
    expect(error.row).toMatchObject({ blame: "caller", grpc: 3 });
    return 0;
  }
}

const GIVEN = [RAW_REQUEST, TYPED_REQUEST].map(({ hex }) => Buffer.from(hex, "hex"));

/** A request that clients send, with parameters, outputs or inputs of one that may be anything. */
function drawMixed(chance: SeededChance): ModelInferRequest {
  const request = decodeRequest(GIVEN[pick(chance, GIVEN.length)]!)!;
  const other = drawRequest(chance);
  const kind = pick(chance, 4);
  if (kind === 0) request.parameters = other.parameters;
  if (kind === 1) request.outputs = other.outputs;
  if (kind === 2) request.inputs[0]!.parameters = other.inputs[0]?.parameters ?? {};
  if (kind !== 3) return request;
  request.inputs.push(...other.inputs);
  request.rawInputContents.push(...other.rawInputContents);
  return request;
}

it("requests of every kind are asks or refused", () => {
  let taken = 0;
  eachSeed(3000, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    taken += check(drawMixed(chance), ABOUT[seed % ABOUT.length]!);
    check(drawRequest(chance), ABOUT[seed % ABOUT.length]!);
  });
  expect(taken).toBeGreaterThan(100);
});

it("bytes that are nearly a request are asks or refused", () => {
  let taken = 0;
  eachSeed(5000, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const request = decodeRequest(mutate(GIVEN[pick(chance, GIVEN.length)]!, chance));
    if (request) taken += check(request, ABOUT[seed % ABOUT.length]!);
  });
  expect(taken).toBeGreaterThan(20);
});
