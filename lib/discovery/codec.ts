import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Record as RecordMessage, RecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import type { DiscoveryRecord } from "./discovery.ts";
import { isKey, requireKey } from "./keys.ts";

/** Longest value of one record, in bytes. */
export const MAX_RECORD_BYTES = 256 * 1024;

/**
 * A record as stores keep it: its key and the bytes of stator.discovery.v1.Record with that key and revision 0. Equal
 * bytes mean that nothing changed. Bytes that this process cannot read are kept and passed on all the same.
 */
export interface StoredRecord {
  /** As in the message. */
  readonly key: string;
  /** The message; at most {@link MAX_RECORD_BYTES} where this process wrote it. Never changed. */
  readonly bytes: Uint8Array;
}

/** What a process wants to publish, ready for any store. Throws INVALID_ARGUMENT for a bad key or a value over the limit. */
export function encodeRecord(record: DiscoveryRecord): StoredRecord {
  requireKey(record.key);
  const bytes = toBinary(RecordSchema, create(RecordSchema, { key: record.key, value: record.value }));
  if (bytes.byteLength > MAX_RECORD_BYTES) {
    throw new StatorError("INVALID_ARGUMENT", {
      detail: `The discovery record ${record.key} has ${bytes.byteLength} bytes; the limit is ${MAX_RECORD_BYTES}`,
    });
  }
  return { key: record.key, bytes };
}

/** A message from the wire in the form that stores keep; unknown fields of a newer process stay in it. */
export function storedRecord(message: RecordMessage): StoredRecord {
  return { key: message.key, bytes: toBinary(RecordSchema, { ...message, revision: 0n }) };
}

/** The message of a stored record, with the revision of its last change. */
export function wireRecord(stored: StoredRecord, revision: bigint): RecordMessage {
  const message = fromBinary(RecordSchema, stored.bytes);
  message.revision = revision;
  return message;
}

/**
 * The record, or undefined when it cannot be read or says nothing that this process knows. `key` is where it was found:
 * a record that was copied from elsewhere is none.
 */
export function decodeRecord(key: string, bytes: Uint8Array): DiscoveryRecord | undefined {
  let message: RecordMessage;
  try {
    message = fromBinary(RecordSchema, bytes);
  } catch {
    return undefined;
  }
  const value = message.value;
  if (message.key !== key || !isKey(key) || value.case === undefined) return undefined;
  return Object.freeze({ key, value: Object.freeze(value) });
}
