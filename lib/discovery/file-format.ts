import { fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { RecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import type { StoredRecord } from "./codec.ts";
import { isKey } from "./keys.ts";

const ENDING = ".json";

/** Prefix of files that are being written; nobody reads them. */
export const TEMPORARY = ".writing-";

/** The file of a key: `/` becomes `+`, which no key has. */
export function fileOf(key: string): string {
  return key.replaceAll("/", "+") + ENDING;
}

/** The key of a file, undefined for a file that is not ours. */
export function keyOf(file: string): string | undefined {
  if (!file.endsWith(ENDING)) return undefined;
  const key = file.slice(0, -ENDING.length).replaceAll("+", "/");
  return isKey(key) && fileOf(key) === file ? key : undefined;
}

/** A record as a file's text: stator.discovery.v1.Record in Protobuf's JSON, so that people can read it. */
export function printFile({ bytes }: StoredRecord): string {
  return `${JSON.stringify(toJson(RecordSchema, fromBinary(RecordSchema, bytes)), undefined, 2)}\n`;
}

/** The record behind a file's text. What cannot be read has no bytes. Fields of a newer process are left out. */
export function parseFile(key: string, text: string): StoredRecord {
  try {
    const record = fromJson(RecordSchema, JSON.parse(text) as JsonValue, { ignoreUnknownFields: true });
    return { key, bytes: toBinary(RecordSchema, record) };
  } catch {
    return { key, bytes: new Uint8Array() };
  }
}
