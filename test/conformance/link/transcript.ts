import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import {
  type LinkRequest,
  LinkRequestSchema,
  type LinkResponse,
  LinkResponseSchema,
} from "#gen/stator/worker/v1/link_pb";
import { printHex, viewBytes } from "#lib/base/bytes";
import { root } from "../../../tools/run-tool.ts";

/** A message as people read it, and its bytes. Arrays of numbers are written as "u32 1 2", "f32 0.5" or "u8 3". */
export interface WrittenMessage {
  readonly message: JsonValue;
  readonly hex: string;
}

/** One line of a transcript; each has exactly one of the fields beside `note`. */
export interface Line {
  readonly note?: string;
  /** The scripted peer says this. */
  readonly say?: WrittenMessage;
  /** The side under test says exactly this; of errors only the reason counts. */
  readonly expect?: WrittenMessage;
  /** The owner of the side under test wants something. */
  readonly do?: Readonly<Record<string, JsonValue>>;
  /** The owner hears this; "@" stands for any error. */
  readonly hear?: string;
  /** The scripted peer ends: "in order", or with the reason. */
  readonly end?: string;
  /** The scripted peer hears the end: "in order", the reason, or "@" for any error, since a caller's is not told on every wire. */
  readonly ended?: string;
  readonly advanceMs?: number;
  readonly counters?: Readonly<Record<string, number>>;
}

/** A conversation on one link, from the side that is not scripted. */
export interface Transcript {
  readonly name: string;
  readonly side: "caller" | "worker";
  readonly lines: readonly Line[];
}

const FOLDER = path.join(root, "test/conformance/link/transcripts");

/** All transcripts. With UPDATE_TRANSCRIPTS set, their bytes are written anew from their messages. */
export function readTranscripts(): Transcript[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(".json"))
    .sort()
    .map((file) => {
      const transcript = JSON.parse(readFileSync(path.join(FOLDER, file), "utf8")) as Transcript;
      return process.env.UPDATE_TRANSCRIPTS ? update(path.join(FOLDER, file), transcript) : transcript;
    });
}

/** The message of a line. `sender` is whose it is. */
export function parseMessage(written: WrittenMessage, sender: "caller" | "worker"): LinkRequest | LinkResponse {
  const schema = sender === "caller" ? LinkRequestSchema : LinkResponseSchema;
  return fromJson(schema, spell(written.message));
}

/** The bytes of a message as hexadecimal. */
export function hexOf(message: LinkRequest | LinkResponse): string {
  return message.$typeName === LinkRequestSchema.typeName
    ? printHex(toBinary(LinkRequestSchema, message as LinkRequest))
    : printHex(toBinary(LinkResponseSchema, message as LinkResponse));
}

/** Who sends the message of a line. */
export function senderOf(transcript: Transcript, line: Line): "caller" | "worker" {
  const other = transcript.side === "caller" ? "worker" : "caller";
  return line.say ? other : transcript.side;
}

/** Arrays of numbers become what the JSON form of Protobuf takes for bytes. */
export function spell(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(spell);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, spell(inner)]));
  }
  const [, kind, list = ""] = /^(u32|f32|u8) ?(.*)$/.exec(typeof value === "string" ? value : "") ?? [];
  if (!kind) return value;
  const numbers = list === "" ? [] : list.split(" ").map(Number);
  const Type = { u32: Uint32Array, f32: Float32Array, u8: Uint8Array }[kind as "u32" | "f32" | "u8"];
  return Buffer.from(viewBytes(Type.from(numbers))).toString("base64");
}

function update(file: string, transcript: Transcript): Transcript {
  const write = (line: Line, written: WrittenMessage | undefined): WrittenMessage | undefined =>
    written && { message: written.message, hex: hexOf(parseMessage(written, senderOf(transcript, line))) };
  const lines = transcript.lines.map((line) => ({
    ...line,
    ...(line.say && { say: write(line, line.say) }),
    ...(line.expect && { expect: write(line, line.expect) }),
  }));
  // One line of the conversation per line of the file.
  const body = lines.map((line) => `    ${JSON.stringify(line)}`).join(",\n");
  const { name, side } = transcript;
  writeFileSync(file, `{\n  "name": ${JSON.stringify(name)},\n  "side": "${side}",\n  "lines": [\n${body}\n  ]\n}\n`);
  return { name, side, lines: lines as Line[] };
}
