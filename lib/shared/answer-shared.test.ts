import { create } from "@bufbuild/protobuf";
import { afterAll, expect, test } from "vitest";
import { type ModelInferRequest, ModelInferRequestSchema, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { printRegionPart } from "#lib/api/kserve/region";
import { StatorError } from "#lib/base/errors";
import { TestObjects } from "../../test/support/shared-object.ts";
import { answerShared } from "./answer-shared.ts";
import { SharedRegions } from "./shared-regions.ts";

const objects = new TestObjects();
afterAll(() => objects.remove());

/** Gives its input back, as often as asked, each time with one byte more. */
async function* echo(request: ModelInferRequest, times: number) {
  for (let count = 0; count < times; count++) {
    const rawOutputContents = request.rawInputContents.map((raw) => raw.map((byte) => byte + count));
    yield create(ModelInferResponseSchema, { outputs: [{ name: "OUT" }], rawOutputContents });
  }
}

function openRig() {
  const regions = new SharedRegions();
  const object = objects.create(Uint8Array.of(1, 2, 0, 0));
  regions.register({ name: "r", key: object.key, offsetBytes: 0, lengthBytes: 4 });
  const part = (offsetBytes: number) => printRegionPart({ region: "r", offsetBytes, lengthBytes: 2 });
  const request = create(ModelInferRequestSchema, {
    inputs: [{ name: "IN", datatype: "UINT8", shape: [2n], parameters: part(0) }],
    outputs: [{ name: "OUT", parameters: part(2) }],
  });
  return { regions, object, request };
}

test("every answer is in its region before it is told, and nothing is held at the end", async () => {
  const { regions, object, request } = openRig();
  const seen: number[][] = [];
  for await (const { rawOutputContents } of answerShared(regions, request, (filled) => echo(filled, 2))) {
    expect(rawOutputContents).toEqual([new Uint8Array(0)]);
    seen.push([...object.read()]);
  }
  expect(seen).toEqual([
    [1, 2, 1, 2],
    [1, 2, 2, 3],
  ]);
  regions.close();
  expect([regions.open, regions.copiedBytes]).toEqual([0, 0]);
});

test("nothing is held when the caller leaves in the middle, the model fails, or the request is wrong", async () => {
  const { regions, request } = openRig();
  for await (const _ of answerShared(regions, request, (filled) => echo(filled, 9))) break;
  const failing = answerShared(regions, request, () => {
    throw new StatorError("ENGINE_FAILED", { detail: "it" });
  });
  await expect(failing.next()).rejects.toMatchObject({ reason: "ENGINE_FAILED" });
  const wrong = { ...request, inputs: request.inputs.map((input) => ({ ...input, shape: [3n] })) };
  await expect(answerShared(regions, wrong, (filled) => echo(filled, 1)).next()).rejects.toThrow("its shape says");
  regions.close();
  expect([regions.open, regions.copiedBytes]).toEqual([0, 0]);
});

test("a request without regions goes through as it is", async () => {
  const { regions } = openRig();
  const request = create(ModelInferRequestSchema, { rawInputContents: [Uint8Array.of(7)] });
  const answers = answerShared(regions, request, (given) => {
    expect(given).toBe(request);
    return echo(given, 1);
  });
  const { value } = await answers.next();
  expect(value?.rawOutputContents).toEqual([Uint8Array.of(7)]);
  expect((await answers.next()).done).toBe(true);
  regions.close();
});
