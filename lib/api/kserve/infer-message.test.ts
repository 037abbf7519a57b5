import { toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { printHex } from "#lib/base/bytes";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../../test/support/seeds.ts";
import { writeInferMessage } from "./infer-message.ts";
import { readInferBody, readInferJson } from "./json-request.ts";

it("is the message of the request, in however many pieces its tensors came", () => {
  eachSeed(500, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const sizes = Array.from({ length: 1 + pick(chance, 4) }, () => pick(chance, 3) * pick(chance, 200));
    const inputs = sizes.map((size, at) => {
      const input = { name: `I${at}`, datatype: "INT8", shape: [size] };
      if (pick(chance, 3) === 0) return { ...input, data: Array.from({ length: size }, () => pick(chance, 128)) };
      return { ...input, parameters: { binary_data_size: size } };
    });
    const length = sizes.reduce((sum, size, at) => sum + ("data" in inputs[at]! ? 0 : size), 0);
    const behind = Buffer.from(Array.from({ length }, () => pick(chance, 256)));
    const json = Buffer.from(JSON.stringify({ id: "r", inputs }));
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < behind.length; ) {
      const size = 1 + pick(chance, 100);
      pieces.push(behind.subarray(at, at + size));
      at += size;
    }
    const address = { model: "m", version: "1" };
    const { request } = readInferBody(Buffer.concat([json, behind]), { ...address, headerLength: String(json.length) });
    const message = writeInferMessage(readInferJson(json, { ...address, behindBytes: behind.length }), pieces);
    expect(printHex(message)).toBe(printHex(toBinary(ModelInferRequestSchema, request)));
  });
});
