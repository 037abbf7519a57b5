import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { KvSessionRefSchema } from "#gen/openengine/v1/kv_pb";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { viewBytes, writeU32 } from "#lib/base/bytes";
import { printSessionRef, readSessionRef } from "./session-ref.ts";

const hashes = BigUint64Array.of(3n, 0xffff_ffff_ffff_fff0n);
const session = create(KvSessionSchema, {
  sessionId: "5f3a",
  transfer: "stator",
  endpoints: [{ host: "10.0.0.7", port: 9000, protocol: "grpc" }],
  instanceId: 0xffff_ffff_ffff_fff1n,
  incarnation: 2n,
  modelDigest: new Uint8Array(32).fill(7),
  layout: { layers: 4, keyRowBytes: 64, valueRowBytes: 64, elementType: "f16", engineFormat: "x", blockTokens: 16 },
  hashScheme: "xxh3-1337-v1",
  sequenceHashes: viewBytes(hashes),
  firstTokenIds: writeU32([9]),
  leaseMs: 1000,
});
const refOf = (more = {}) => create(KvSessionRefSchema, { ...printSessionRef(session), ...more });
/** Of a prompt with a third block behind those of the session. */
const hashesOf = (blockTokens: number) =>
  blockTokens === 16 ? BigUint64Array.of(...hashes, 5n) : new BigUint64Array(9);

it("a session of ours comes back whole, its hashes from the prompt", () => {
  const ref = refOf();
  expect(ref).toMatchObject({ sessionId: "5f3a", transferBackend: "stator", dpRank: 0 });
  expect(ref.attributesStruct).toMatchObject({ instanceId: "18446744073709551601", blocks: 2, leaseMs: 1000 });
  expect(readSessionRef(ref, hashesOf)).toEqual(session);
  const empty = create(KvSessionSchema, { ...session, sequenceHashes: new Uint8Array(0) });
  expect(readSessionRef(create(KvSessionRefSchema, printSessionRef(empty)), hashesOf)).toEqual(empty);
});

it("one of another prompt, or that cannot be read, is refused", () => {
  const attributes = refOf().attributesStruct!;
  expect(() => readSessionRef(refOf(), () => BigUint64Array.of(3n, 4n))).toThrow("another prompt");
  for (const blocks of [3, 99, -1, 1.5, "2"]) {
    expect(() => readSessionRef(refOf({ attributesStruct: { ...attributes, blocks } }), hashesOf)).toThrow(
      "another prompt",
    );
  }
  const torn = { ...attributes, incarnation: "many" };
  expect(() => readSessionRef(refOf({ attributesStruct: torn }), hashesOf)).toThrow("not those of a session");
});

it("one of others passes as it is, both ways", () => {
  const attributesStruct = {
    remote_block_ids: [1, 2.5],
    engine: "e1",
    room: "13840225913027164821",
    deep: { a: [null] },
  };
  const endpoints = [{ host: "h", port: 5600, protocol: "nixl" }];
  const ref = create(KvSessionRefSchema, {
    sessionId: "4",
    transferBackend: "nixl",
    endpoints,
    dpRank: 3,
    attributesStruct,
  });
  const read = readSessionRef(ref, hashesOf);
  expect(read).toMatchObject({ sessionId: "4", transfer: "nixl", rank: 3 });
  expect(create(KvSessionRefSchema, printSessionRef(read))).toEqual(ref);
  const bare = create(KvSessionRefSchema, { sessionId: "4", transferBackend: "ucx" });
  expect(create(KvSessionRefSchema, printSessionRef(readSessionRef(bare, hashesOf)))).toEqual(bare);
});
