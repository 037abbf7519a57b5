import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { PullResponseSchema } from "#gen/stator/worker/v1/payload_pb";
import { MOST_HEAD_BYTES, printChunk } from "./pull-wire.ts";

test.each([
  [0, 0, 1, 0n],
  [1, 127, 128, 1n],
  [128, 256 * 1024, 256 * 1024, 0xffff_ffff_ffff_ffffn],
  [0xffff_ffff, 0xffff_ffff, 127, 0x0102_0304_0506_0708n],
  [16_384, 16_383, 0, 0n],
])("a chunk of block %i from %i on with %i bytes is a message", (block, offset, length, checksum) => {
  const data = Uint8Array.from({ length }, (_, at) => at * 7);
  const { content } = fromBinary(
    PullResponseSchema,
    printChunk({ block, offset, data, checksum }, Buffer.alloc(length + MOST_HEAD_BYTES)),
  );
  expect(content.case).toBe("chunk");
  expect(content.value).toMatchObject({ block, offset, checksum });
  expect(Buffer.compare((content.value as { data: Uint8Array }).data, data)).toBe(0);
});
