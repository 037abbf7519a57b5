import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Registry,
  ScalarType,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";

/** Packages whose messages the corpus has values of; of those of others every language has its own copy. */
const PACKAGES = /^(stator|openengine|inference)\./;

/** Largest, least and default value of each scalar; the least of unsigned numbers of 64 bits is the first that is no double. */
const SCALARS: Readonly<Record<ScalarType, readonly [largest: JsonValue, least: JsonValue, zero: JsonValue]>> = {
  [ScalarType.DOUBLE]: [Number.MAX_VALUE, Number.MIN_VALUE, 0],
  [ScalarType.FLOAT]: [3.4028234663852886e38, 1.1754943508222875e-38, 0],
  [ScalarType.INT64]: ["9223372036854775807", "-9223372036854775808", "0"],
  [ScalarType.SINT64]: ["9223372036854775807", "-9223372036854775808", "0"],
  [ScalarType.SFIXED64]: ["9223372036854775807", "-9223372036854775808", "0"],
  [ScalarType.UINT64]: ["18446744073709551615", "9007199254740993", "0"],
  [ScalarType.FIXED64]: ["18446744073709551615", "9007199254740993", "0"],
  [ScalarType.INT32]: [2147483647, -2147483648, 0],
  [ScalarType.SINT32]: [2147483647, -2147483648, 0],
  [ScalarType.SFIXED32]: [2147483647, -2147483648, 0],
  [ScalarType.UINT32]: [4294967295, 1, 0],
  [ScalarType.FIXED32]: [4294967295, 1, 0],
  [ScalarType.BOOL]: [true, true, false],
  [ScalarType.STRING]: ["Grüße 😀", " ", ""],
  [ScalarType.BYTES]: ["AH+A/v8=", "AA==", ""],
};

/** An enum value that nobody has given a name. */
const UNKNOWN_VALUE = 2147483646;

/** A field of each kind with the largest number that a field can have, and nearly so. */
const UNKNOWN_FIELDS = Buffer.concat([
  Buffer.from("f8ffffff0fffffffffffffffffff01", "hex"),
  Buffer.from("f1ffffff0fffffffffffffffff", "hex"),
  Buffer.from("eaffffff0f036e6577", "hex"),
  Buffer.from("e5ffffff0fffffffff", "hex"),
]);

/** Which of the three values, and which member of each oneof. */
interface Variant {
  readonly value: 0 | 1 | 2;
  readonly member: number;
}

/** A case of the corpus for each message: its bytes and its JSON, empty, with all kinds of values, and from a newer writer. */
export function createValueCases(stubs: Registry): JsonObject[] {
  const messages = [...stubs].filter((type): type is DescMessage => type.kind === "message");
  return messages
    .filter(({ typeName }) => PACKAGES.test(typeName))
    .sort((one, other) => (one.typeName < other.typeName ? -1 : 1))
    .map((type) => ({
      name: `values/${type.typeName}`,
      promise: "Every language reads the same values from the same bytes, and writes bytes with the same values.",
      steps: [
        ...variantsOf(type).map((variant) => codecStep(type, filled(type, variant), stubs)),
        { step: "codec", type: type.typeName, wire: UNKNOWN_FIELDS.toString("base64"), json: {} },
      ],
    }));
}

/** Empty is the message without a field: what follows of it is `{}` and no bytes. */
function variantsOf(type: DescMessage): (Variant | undefined)[] {
  const members = Math.max(3, ...type.oneofs.map(({ fields }) => fields.length));
  const variants = Array.from({ length: members }, (_, member) => ({
    value: (member % 3) as Variant["value"],
    member,
  }));
  return type.fields.length === 0 ? [undefined] : [undefined, ...variants];
}

function codecStep(type: DescMessage, value: JsonObject, registry: Registry): JsonObject {
  const message = fromJson(type, value, { registry });
  return {
    step: "codec",
    type: type.typeName,
    wire: Buffer.from(toBinary(type, message)).toString("base64"),
    json: toJson(type, message, { registry }),
    ...(hasOneWriting(type) && { sameBytes: true }),
  };
}

/** Whether every library writes the same bytes: entries of maps have no order, and members of oneofs may come last. */
function hasOneWriting({ fields, oneofs }: DescMessage): boolean {
  return oneofs.length === 0 && fields.every(({ fieldKind, message }) => fieldKind !== "map" && !isStruct(message));
}

function filled(type: DescMessage, variant: Variant | undefined): JsonObject {
  if (variant === undefined) return {};
  const isChosen = ({ oneof, name }: DescField) =>
    oneof === undefined || oneof.fields[variant.member % oneof.fields.length]?.name === name;
  return Object.fromEntries(type.fields.filter(isChosen).map((field) => [field.jsonName, fieldValue(field, variant)]));
}

function fieldValue(field: DescField, { value }: Variant): JsonValue {
  if (field.fieldKind === "map") return { [["k", "", ""][value]!]: elementOf(field, value) };
  if (field.fieldKind !== "list") return elementOf(field, value);
  return value === 0 ? [elementOf(field, 0), elementOf(field, 1)] : [elementOf(field, value)];
}

/** A message in a message is empty: it has a case of its own. */
function elementOf(field: DescField, value: Variant["value"]): JsonValue {
  if (field.enum) return enumValue(field.enum, value);
  if (field.message) return isStruct(field.message) ? { k: [1.5, "v", true, null, { n: {} }] } : {};
  return SCALARS[field.scalar!][value];
}

function enumValue({ values }: DescEnum, value: Variant["value"]): JsonValue {
  return [values.at(-1)!.name, UNKNOWN_VALUE, values[0]!.name][value]!;
}

function isStruct(message: DescMessage | undefined): boolean {
  return message?.typeName === "google.protobuf.Struct";
}
