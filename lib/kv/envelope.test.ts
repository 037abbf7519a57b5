import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { xxh3 } from "#lib/tokens/xxh3";
import { type BlockIdentity, decodeEnvelope, encodeEnvelope, openEnvelope } from "./envelope.ts";
import { blockBytes } from "./layout.ts";

const BLOCK: BlockIdentity = {
  modelDigest: Uint8Array.from({ length: 32 }, (_, at) => at),
  layout: {
    layers: 2,
    blockTokens: 4,
    keyRowBytes: 4,
    valueRowBytes: 8,
    elementType: "f16",
    engineFormat: "llama.cpp-0.5.0",
  },
  index: 3,
  hash: 0xfedcba9876543210n,
  parent: 77n,
};
const PAYLOAD = Uint8Array.from({ length: blockBytes(BLOCK.layout) }, (_, at) => at * 7);

function reasonOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof StatorError) return error.reason;
    throw error;
  }
  return "none";
}

test("what goes in comes out", () => {
  for (const block of [BLOCK, { ...BLOCK, parent: undefined, index: 0 }]) {
    const bytes = encodeEnvelope(block, PAYLOAD);
    expect(decodeEnvelope(bytes)).toEqual({ block, payload: PAYLOAD });
    expect(openEnvelope(bytes, block)).toEqual(PAYLOAD);
  }
});

test("a flipped byte is found wherever it is, and so is a missing or added one", () => {
  const bytes = encodeEnvelope(BLOCK, PAYLOAD);
  for (let at = 0; at < bytes.byteLength; at++) {
    const damaged = bytes.slice();
    damaged[at]! ^= 1 << (at % 8);
    expect(
      reasonOf(() => decodeEnvelope(damaged)),
      `byte ${at}`,
    ).toBe("CORRUPT");
  }
  for (let size = 0; size < bytes.byteLength; size++) {
    expect(reasonOf(() => decodeEnvelope(bytes.subarray(0, size)))).toBe("CORRUPT");
  }
  expect(reasonOf(() => decodeEnvelope(Uint8Array.of(...bytes, 0)))).toBe("CORRUPT");
});

test("a sound block that is another one is refused by name", () => {
  const bytes = encodeEnvelope(BLOCK, PAYLOAD);
  const others: [Partial<BlockIdentity>, string][] = [
    [{ modelDigest: new Uint8Array(32) }, "other weights"],
    [{ layout: { ...BLOCK.layout, layers: 3 } }, "layers 2, not 3"],
    [{ layout: { ...BLOCK.layout, elementType: "q8_0" } }, "elementType f16, not q8_0"],
    [{ layout: { ...BLOCK.layout, engineFormat: "mock-1" } }, "engineFormat"],
    [{ index: 4 }, "block 3 of its sequence, not 4"],
    [{ hash: 1n }, "other tokens"],
    [{ parent: undefined }, "follows another"],
  ];
  for (const [other, text] of others) {
    expect(() => openEnvelope(bytes, { ...BLOCK, ...other })).toThrow(text);
    expect(reasonOf(() => openEnvelope(bytes, { ...BLOCK, ...other }))).toBe("CONTRACT_MISMATCH");
  }
});

test("a later revision is a mismatch, not damage", () => {
  const bytes = encodeEnvelope(BLOCK, PAYLOAD);
  const view = new DataView(bytes.buffer);
  view.setUint16(4, 2, true);
  const end = bytes.byteLength - 8;
  view.setBigUint64(end, xxh3(bytes.subarray(0, end), 0x564b5453n), true);
  expect(reasonOf(() => decodeEnvelope(bytes))).toBe("CONTRACT_MISMATCH");
});
