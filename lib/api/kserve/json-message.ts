import {
  type DescField,
  type DescMessage,
  type JsonValue,
  type MessageShape,
  ScalarType,
  toJson,
} from "@bufbuild/protobuf";

const LONG: ReadonlySet<ScalarType> = new Set([
  ...[ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64, ScalarType.FIXED64, ScalarType.SFIXED64],
]);

/**
 * A message as the HTTP side of this API prints it: names as in the contract, zeros and empty lists too, enums by name and
 * 64-bit numbers in digits, without the quotes that the JSON of Protobuf has.
 */
export function printMessage<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): string {
  const json = toJson(schema, message, { useProtoFieldName: true, alwaysEmitImplicit: true });
  return printObject(schema, json as JsonValue as JsonObject);
}

type JsonObject = { readonly [name: string]: JsonValue };

function printObject(schema: DescMessage, json: JsonObject): string {
  const members = schema.fields.flatMap((field) => {
    const value = json[field.name];
    return value === undefined ? [] : [`${JSON.stringify(field.name)}:${printField(field, value)}`];
  });
  return `{${members.join(",")}}`;
}

function printField(field: DescField, value: JsonValue): string {
  switch (field.fieldKind) {
    case "list":
      return `[${(value as readonly JsonValue[]).map((item) => printItem(field, item)).join(",")}]`;
    case "map":
      return `{${Object.entries(value as JsonObject)
        .map(([key, item]) => `${JSON.stringify(key)}:${printItem(field, item)}`)
        .join(",")}}`;
    default:
      return printItem(field, value);
  }
}

/** One value of a field, whether it has one or several. */
function printItem(field: DescField, value: JsonValue): string {
  if (field.message) return printObject(field.message, value as JsonObject);
  return field.scalar !== undefined && LONG.has(field.scalar) ? String(value) : JSON.stringify(value);
}
