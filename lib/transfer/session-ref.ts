import { create, fromJson, type JsonObject, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import type { KvSessionRef, KvSessionRefSchema } from "#gen/openengine/v1/kv_pb";
import { KvEndpointSchema, type KvSession, KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { copyU64, viewBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";

/** How blocks of our own workers move, in the word of sessions. */
const OWN = "stator";

/**
 * A session as openengine.v1 has it. Of our own the attributes are its fields, without the hashes of its blocks, which can
 * be long: their count and the last of them, which stands for all before it. The tokens behind them are in the prompt. Of
 * others attributes pass as they are.
 */
export function printSessionRef(session: KvSession): MessageInitShape<typeof KvSessionRefSchema> {
  const { sessionId, transfer, endpoints, rank } = session;
  const about = { sessionId, transferBackend: transfer, endpoints: endpoints.map(copyEndpoint), dpRank: rank ?? 0 };
  if (transfer !== OWN) return { ...about, attributesStruct: parseObject(session.attributes) };
  const hashes = copyU64(session.sequenceHashes, "sequence_hashes");
  const { instanceId, incarnation, modelDigest, layout, hashScheme, firstTokenIds, leaseMs } = session;
  const told = { instanceId, incarnation, modelDigest, layout, hashScheme, firstTokenIds, leaseMs };
  const fields = toJson(KvSessionSchema, create(KvSessionSchema, told)) as JsonObject;
  const last = hashes.at(-1);
  return {
    ...about,
    attributesStruct: { ...fields, blocks: hashes.length, ...(last !== undefined && { lastBlock: String(last) }) },
  };
}

/**
 * The inverse. `hashesOf` gives the sequence hashes of the prompt that goes on, in blocks of so many tokens. Throws
 * INVALID_ARGUMENT for attributes of ours that cannot be read, and where the session is of another prompt.
 */
export function readSessionRef(ref: KvSessionRef, hashesOf: (blockTokens: number) => BigUint64Array): KvSession {
  const isOwn = ref.transferBackend === OWN;
  const { blocks = 0, lastBlock, ...fields } = (isOwn && ref.attributesStruct) || {};
  const session = readFields(fields);
  session.sessionId = ref.sessionId;
  session.transfer = ref.transferBackend;
  session.endpoints = ref.endpoints.map((endpoint) => create(KvEndpointSchema, copyEndpoint(endpoint)));
  if (ref.dpRank > 0) session.rank = ref.dpRank;
  if (!isOwn) session.attributes = printObject(ref.attributesStruct);
  if (blocks === 0) return session;
  const { blockTokens = 0 } = session.layout ?? {};
  const hashes = blockTokens > 0 ? hashesOf(blockTokens) : new BigUint64Array(0);
  const isCount = typeof blocks === "number" && blocks > 0 && blocks <= hashes.length;
  if (!isCount || String(hashes[blocks - 1]) !== lastBlock) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "kv.session: its blocks are those of another prompt" });
  }
  session.sequenceHashes = viewBytes(hashes.slice(0, blocks));
  return session;
}

function readFields(fields: JsonObject): KvSession {
  try {
    return fromJson(KvSessionSchema, fields, { ignoreUnknownFields: true });
  } catch (error) {
    const detail = "kv.session.attributes_struct: not those of a session";
    throw new StatorError("INVALID_ARGUMENT", { detail }, { cause: error });
  }
}

function copyEndpoint({ host, port, protocol }: KvSessionRef["endpoints"][number] | KvSession["endpoints"][number]) {
  return { host, port, protocol };
}

function printObject(attributes: JsonObject | undefined): Uint8Array {
  return attributes ? new TextEncoder().encode(JSON.stringify(attributes)) : new Uint8Array(0);
}

function parseObject(attributes: Uint8Array): JsonObject | undefined {
  return attributes.length > 0 ? (JSON.parse(new TextDecoder().decode(attributes)) as JsonObject) : undefined;
}
