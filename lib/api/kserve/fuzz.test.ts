import { toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type ModelInferRequest, ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { CLIENT_REQUEST, RAW_REQUEST, TYPED_REQUEST } from "../../../test/contract/inference-vectors.ts";
import { decodeRequest, drawRequest, drawTensor, mutate, requestOf } from "../../../test/support/kserve-fuzz.ts";
import { eachSeed } from "../../../test/support/seeds.ts";
import { datatypeRow } from "./datatypes.ts";
import { readTensors } from "./read-tensors.ts";

/** Bytes of typed contents that one byte of a message can become. */
const GROWTH = 8;

/** Tensors as they should be, or an error of the caller's; never more bytes than the message can account for. */
function check(request: ModelInferRequest, messageBytes: number): number {
  try {
    const tensors = readTensors(request);
    const bytes = tensors.reduce((sum, { data }) => sum + data.byteLength, 0);
    expect(bytes).toBeLessThanOrEqual(GROWTH * messageBytes);
    return 1;
  } catch (error) {
    if (!(error instanceof StatorError)) throw error;
    expect(error.row).toMatchObject({ blame: "caller", grpc: 3 });
    return 0;
  }
}

it("tensors are what they were, raw and typed, as often as they go through", () => {
  eachSeed(300, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const tensors = Array.from({ length: 1 + pick(chance, 3) }, (_, at) => drawTensor(chance, `T${at}`));
    for (const form of ["raw", "typed"] as const) {
      const given = form === "raw" ? tensors : tensors.filter(({ datatype }) => datatypeRow(datatype).field);
      const sent = decodeRequest(toBinary(ModelInferRequestSchema, requestOf(given, form)));
      const read = readTensors(sent!).map((tensor) => ({ ...tensor, data: [...tensor.data] }));
      const isFloat = ({ datatype }: (typeof given)[number]) => form === "typed" && datatype.startsWith("FP");
      // A number that is none may come back as another one that is none.
      const exact = given.filter((tensor) => !isFloat(tensor)).map((tensor) => ({ ...tensor, data: [...tensor.data] }));
      expect(read.filter(({ name }) => exact.some((one) => one.name === name))).toEqual(exact);
      expect(read).toHaveLength(given.length);
    }
  });
});

it("requests of every kind are read or refused", () => {
  let taken = 0;
  eachSeed(3000, (seed) => {
    const request = drawRequest(new SeededChance(BigInt(seed)));
    taken += check(request, toBinary(ModelInferRequestSchema, request).length);
  });
  expect(taken).toBeGreaterThan(100);
});

it("bytes that are nearly a request are read or refused", () => {
  const given = [RAW_REQUEST, TYPED_REQUEST, CLIENT_REQUEST].map(({ hex }) => Buffer.from(hex, "hex"));
  let taken = 0;
  eachSeed(3000, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const bytes = mutate(given[pick(chance, given.length)]!, chance);
    const request = decodeRequest(bytes);
    if (request) taken += check(request, bytes.length);
  });
  expect(taken).toBeGreaterThan(100);
});
