import { equalBytes } from "#lib/base/bytes";
import { assert, StatorError } from "#lib/base/errors";
import { xxh3 } from "#lib/tokens/xxh3";
import { blockBytes, type KvLayout, layoutDifference } from "./layout.ts";

/** "STKV" little endian. */
const MAGIC = 0x564b5453;
const REVISION = 1;
const CHECKSUM_BYTES = 8;
const CHECKSUM_SEED = BigInt(MAGIC);
const HAS_PARENT = 1;

/** Which block an envelope holds. */
export interface BlockIdentity {
  /** SHA-256 that names the weights, 32 bytes. Rows of other weights would be read without complaint. */
  readonly modelDigest: Uint8Array;
  /** How its bytes lie; another layout is another block. */
  readonly layout: KvLayout;
  /** Index of the block in its sequence, from 0; its first token has the position `index * blockTokens`. */
  readonly index: number;
  /** Sequence hash, which includes salt and adapter. */
  readonly hash: bigint;
  /** Sequence hash of the block before it. */
  readonly parent: bigint | undefined;
}

/** Hashes bytes with a seed; the native addon's `xxh3` is one too. */
export type HashBytes = (bytes: Uint8Array, seed: bigint) => bigint;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Offsets in the fixed part of an envelope, in bytes; the two strings and the payload follow it. */
const FIELD = {
  magic: 0,
  revision: 4,
  flags: 6,
  layers: 8,
  blockTokens: 12,
  keyRowBytes: 16,
  valueRowBytes: 20,
  index: 24,
  payloadBytes: 28,
  hash: 32,
  parent: 40,
  modelDigest: 48,
  elementTypeBytes: 80,
  engineFormatBytes: 82,
  end: 84,
} as const;

/**
 * Wraps one block for the way: fixed fields, element type, engine format, payload, then the XXH3-64 of all bytes before
 * it. Numbers are little endian. Magic, revision and the place of the checksum stay as they are in every revision.
 * Copies the payload.
 */
export function encodeEnvelope(block: BlockIdentity, payload: Uint8Array, hash: HashBytes = xxh3): Uint8Array {
  const { layout } = block;
  assert(payload.byteLength === blockBytes(layout), "a block has the bytes of its layout");
  assert(block.modelDigest.byteLength === 32, "a model digest has 32 bytes");
  const elementType = encoder.encode(layout.elementType);
  const engineFormat = encoder.encode(layout.engineFormat);
  const start = FIELD.end + elementType.byteLength + engineFormat.byteLength;
  const end = start + payload.byteLength;
  const bytes = new Uint8Array(end + CHECKSUM_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(FIELD.magic, MAGIC, true);
  view.setUint16(FIELD.revision, REVISION, true);
  view.setUint16(FIELD.flags, block.parent === undefined ? 0 : HAS_PARENT, true);
  view.setUint32(FIELD.layers, layout.layers, true);
  view.setUint32(FIELD.blockTokens, layout.blockTokens, true);
  view.setUint32(FIELD.keyRowBytes, layout.keyRowBytes, true);
  view.setUint32(FIELD.valueRowBytes, layout.valueRowBytes, true);
  view.setUint32(FIELD.index, block.index, true);
  view.setUint32(FIELD.payloadBytes, payload.byteLength, true);
  view.setBigUint64(FIELD.hash, block.hash, true);
  view.setBigUint64(FIELD.parent, block.parent ?? 0n, true);
  view.setUint16(FIELD.elementTypeBytes, elementType.byteLength, true);
  view.setUint16(FIELD.engineFormatBytes, engineFormat.byteLength, true);
  bytes.set(block.modelDigest, FIELD.modelDigest);
  bytes.set(elementType, FIELD.end);
  bytes.set(engineFormat, FIELD.end + elementType.byteLength);
  bytes.set(payload, start);
  view.setBigUint64(end, hash(bytes.subarray(0, end), CHECKSUM_SEED), true);
  return bytes;
}

function corrupt(detail: string): StatorError {
  return new StatorError("CORRUPT", { what: "The KV block", detail });
}

function mismatch(detail: string): StatorError {
  return new StatorError("CONTRACT_MISMATCH", { what: "The KV block", detail });
}

/**
 * Opens an envelope. Throws CORRUPT when any byte of it is not as it was made, and CONTRACT_MISMATCH when it was made
 * by a revision that this one cannot read. The payload borrows the bytes.
 */
export function decodeEnvelope(
  bytes: Uint8Array,
  hash: HashBytes = xxh3,
): { block: BlockIdentity; payload: Uint8Array } {
  const end = bytes.byteLength - CHECKSUM_BYTES;
  if (end < FIELD.end) throw corrupt(`it has only ${bytes.byteLength} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(FIELD.magic, true) !== MAGIC) throw corrupt("it does not begin as an envelope");
  if (hash(bytes.subarray(0, end), CHECKSUM_SEED) !== view.getBigUint64(end, true)) {
    throw corrupt("its checksum differs");
  }
  const revision = view.getUint16(FIELD.revision, true);
  if (revision !== REVISION) throw mismatch(`envelope revision ${revision}, not ${REVISION}`);
  const typeEnd = FIELD.end + view.getUint16(FIELD.elementTypeBytes, true);
  const start = typeEnd + view.getUint16(FIELD.engineFormatBytes, true);
  const layout: KvLayout = {
    layers: view.getUint32(FIELD.layers, true),
    blockTokens: view.getUint32(FIELD.blockTokens, true),
    keyRowBytes: view.getUint32(FIELD.keyRowBytes, true),
    valueRowBytes: view.getUint32(FIELD.valueRowBytes, true),
    elementType: decoder.decode(bytes.subarray(FIELD.end, typeEnd)),
    engineFormat: decoder.decode(bytes.subarray(typeEnd, start)),
  };
  const payloadBytes = view.getUint32(FIELD.payloadBytes, true);
  if (start + payloadBytes !== end || payloadBytes !== blockBytes(layout)) throw corrupt("its lengths disagree");
  const hasParent = (view.getUint16(FIELD.flags, true) & HAS_PARENT) !== 0;
  const block: BlockIdentity = {
    modelDigest: bytes.slice(FIELD.modelDigest, FIELD.modelDigest + 32),
    layout,
    index: view.getUint32(FIELD.index, true),
    hash: view.getBigUint64(FIELD.hash, true),
    parent: hasParent ? view.getBigUint64(FIELD.parent, true) : undefined,
  };
  return { block, payload: bytes.subarray(start, end) };
}

/**
 * Opens an envelope that must hold exactly this block. Throws CORRUPT on damage and CONTRACT_MISMATCH when it is sound
 * but holds something else. The payload borrows the bytes.
 */
export function openEnvelope(bytes: Uint8Array, wanted: BlockIdentity, hash: HashBytes = xxh3): Uint8Array {
  const { block, payload } = decodeEnvelope(bytes, hash);
  if (!equalBytes(block.modelDigest, wanted.modelDigest)) throw mismatch("it was computed with other weights");
  const difference = layoutDifference(block.layout, wanted.layout);
  if (difference !== undefined) throw mismatch(difference);
  if (block.index !== wanted.index) throw mismatch(`block ${block.index} of its sequence, not ${wanted.index}`);
  if (block.hash !== wanted.hash) throw mismatch("it holds other tokens, or another salt or adapter");
  if (block.parent !== wanted.parent) throw mismatch("it follows another block");
  return payload;
}
