import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, test } from "vitest";
import { CODECS, type Codec } from "#gen/codecs";
import { LinkRequestSchema, LinkResponseSchema } from "#gen/stator/worker/v1/link_pb";
import { pick, SeededChance } from "#lib/base/chance";
import { parse, Serializer } from "#lib/rpc/serialize";

const chance = new SeededChance(20n);
const roll = (count: number): number => pick(chance, count);
const oneOf = <T>(...values: readonly T[]): T => values[roll(values.length)]!;

const TEXTS = ["", "a", "naïve", "😀 and more", "x".repeat(300), "ß".repeat(70)];

function scalarOf(type: ScalarType): unknown {
  switch (type) {
    case ScalarType.STRING:
      return oneOf(...TEXTS);
    case ScalarType.BYTES:
      return Uint8Array.from({ length: oneOf(0, 1, 4, 200) }, () => roll(256));
    case ScalarType.BOOL:
      return oneOf(true, false);
    case ScalarType.UINT32:
      return oneOf(0, 1, 127, 128, 300, 2 ** 31, 2 ** 32 - 1);
    case ScalarType.SINT32:
    case ScalarType.INT32:
      return oneOf(0, 1, -1, 64, -65, 2 ** 31 - 1, -(2 ** 31));
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return oneOf(0n, 1n, 2n ** 53n + 1n, 2n ** 64n - 1n);
    case ScalarType.INT64:
      return oneOf(0n, 1n, -1n, 2n ** 40n, -(2n ** 63n));
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return oneOf(0, -0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, Math.fround(0.7));
    default:
      throw new Error(`no value for ${ScalarType[type]}`);
  }
}

function anyOf(field: DescField): unknown {
  if (field.fieldKind === "message") return messageOf(field.message);
  if (field.fieldKind === "enum") return oneOf(...field.enum.values).number;
  if (field.fieldKind === "map") return mapOf(field);
  if (field.fieldKind === "scalar") return scalarOf(field.scalar);
  const { message, scalar } = field;
  return Array.from({ length: roll(4) }, () => (message ? messageOf(message) : scalarOf(scalar!)));
}

function mapOf({ message }: DescField & { fieldKind: "map" }): Record<string, unknown> {
  const entries = Array.from({ length: roll(4) }, () => [oneOf(...TEXTS, "__proto__"), message && messageOf(message)]);
  return message ? Object.fromEntries(entries) : { key: oneOf(...TEXTS) };
}

function messageOf(schema: DescMessage): Message {
  const fields = schema.fields.filter((field) => !field.oneof && chance.next() < 0.7);
  const groups = schema.oneofs.filter(() => chance.next() < 0.9);
  const chosen = groups.map((group) => [group.localName, caseOf(oneOf(...group.fields))]);
  return create(schema, Object.fromEntries([...fields.map((field) => [field.localName, anyOf(field)]), ...chosen]));
}

function caseOf(field: DescField): { case: string; value: unknown } {
  return { case: field.localName, value: anyOf(field) };
}

function written(codec: Codec, message: Message): Uint8Array {
  const writer = new BinaryWriter();
  codec.write(writer, message);
  return writer.finish();
}

const read = (codec: Codec, bytes: Uint8Array): Message => codec.read(new BinaryReader(bytes), bytes.length);

function attempt(work: () => Message): Message | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

describe.each([...CODECS])("%s", (schema, codec) => {
  test("has the library's bytes, and reads them as the library does", () => {
    let seen = 0;
    for (let count = 0; count < 2000; count++) {
      const message = messageOf(schema);
      const bytes = toBinary(schema, message);
      expect(written(codec, message)).toEqual(bytes);
      expect(read(codec, bytes)).toEqual(fromBinary(schema, bytes));
      seen = Math.max(seen, bytes.length);
    }
    // Three numbers are never long.
    expect(seen).toBeGreaterThan(schema.fields.some(({ message }) => message) ? 1000 : 20);
  });

  test("merges what comes twice, and leaves out what it does not know", () => {
    for (let count = 0; count < 300; count++) {
      const [first, second] = [messageOf(schema), messageOf(schema)];
      const twice = Buffer.concat([toBinary(schema, first), toBinary(schema, second)]);
      expect(read(codec, twice)).toEqual(fromBinary(schema, twice));
      // Field 1000 as a number, as bytes and as a group.
      const unknown = Buffer.from([0xc0, 0x3e, 5, 0xc2, 0x3e, 2, 1, 1, 0xc3, 0x3e, 8, 1, 0xc4, 0x3e]);
      expect(read(codec, Buffer.concat([unknown, twice, unknown]))).toEqual(fromBinary(schema, twice));
    }
  });

  test("refuses bytes that end early, wherever the library does", () => {
    const outcomes = { read: 0, refused: 0 };
    for (let count = 0; count < 2000; count++) {
      const bytes = toBinary(schema, messageOf(schema));
      const torn = bytes.subarray(0, roll(bytes.length + 1));
      const ours = attempt(() => read(codec, torn));
      // Stricter than the library about a message that says that it is longer than what holds it.
      if (ours) expect(ours).toEqual(fromBinary(schema, torn));
      outcomes[ours ? "read" : "refused"]++;
    }
    expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(30);
  });

  test("reads or refuses any bytes", () => {
    const outcomes = { read: 0, refused: 0 };
    for (let count = 0; count < 5000; count++) {
      const bytes = toBinary(schema, messageOf(schema));
      for (let bad = roll(4); bad >= 0 && bytes.length > 0; bad--) bytes[roll(bytes.length)] = roll(256);
      const ours = attempt(() => read(codec, bytes));
      if (ours) expect(read(codec, written(codec, ours))).toEqual(ours);
      outcomes[ours ? "read" : "refused"]++;
    }
    expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(100);
  });
});

test("a message that cannot be written does not spoil the next one", () => {
  const serializer = new Serializer(LinkRequestSchema);
  const bad = create(LinkRequestSchema, { submits: [{ requestId: "some", priority: 2 ** 40 }] });
  expect(() => serializer.serialize(bad)).toThrow(/2147483647|1099511627776/);
  const good = create(LinkRequestSchema, { ping: { nonce: 7n } });
  expect(parse(LinkRequestSchema, serializer.serialize(good))).toEqual(good);
  expect(() => parse(LinkResponseSchema, Buffer.from([0xff]))).toThrow("not a stator.worker.v1.LinkResponse");
});
