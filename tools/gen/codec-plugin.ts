// A plugin of buf (buf.gen.yaml): straight-line readers and writers for the messages of the services that its options
// name, and for messages that they name alone. The library walks tables for each message, which is a tenth of what a request costs a frontend.
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { createEcmaScriptPlugin, type GeneratedFile, type Printable, runNodeJs } from "@bufbuild/protoplugin";

const WIRE = "@bufbuild/protobuf/wire";

/** How a scalar travels: the method of reader and writer, the wire type, and when it is left out. */
interface Scalar {
  readonly method: string;
  readonly wire: WireType;
  readonly zero: string;
  /** True for a value that is written; `value` is the expression that yields it. */
  readonly isSet: (value: string) => string;
}

const notZero = (value: string): string => `${value} !== 0`;
const notZeroBig = (value: string): string => `${value} !== 0n`;

const notPlainZero = (value: string): string => `!Object.is(${value}, 0)`;

const SCALARS: Readonly<Partial<Record<ScalarType, Scalar>>> = {
  [ScalarType.STRING]: {
    method: "string",
    wire: WireType.LengthDelimited,
    zero: '""',
    isSet: (value) => `${value} !== ""`,
  },
  [ScalarType.BYTES]: {
    method: "bytes",
    wire: WireType.LengthDelimited,
    zero: "EMPTY",
    isSet: (value) => `${value}.byteLength > 0`,
  },
  [ScalarType.BOOL]: { method: "bool", wire: WireType.Varint, zero: "false", isSet: (value) => value },
  [ScalarType.UINT32]: { method: "uint32", wire: WireType.Varint, zero: "0", isSet: notZero },
  [ScalarType.INT32]: { method: "int32", wire: WireType.Varint, zero: "0", isSet: notZero },
  [ScalarType.SINT32]: { method: "sint32", wire: WireType.Varint, zero: "0", isSet: notZero },
  [ScalarType.UINT64]: { method: "uint64", wire: WireType.Varint, zero: "0n", isSet: notZeroBig },
  [ScalarType.FIXED64]: { method: "fixed64", wire: WireType.Bit64, zero: "0n", isSet: notZeroBig },
  [ScalarType.INT64]: { method: "int64", wire: WireType.Varint, zero: "0n", isSet: notZeroBig },
  // A negative zero is a value.
  [ScalarType.FLOAT]: { method: "float", wire: WireType.Bit32, zero: "0", isSet: notPlainZero },
  [ScalarType.DOUBLE]: { method: "double", wire: WireType.Bit64, zero: "0", isSet: notPlainZero },
};

/** How a number, text or enum of a field travels; undefined for a message, and for what is left to the library. */
function scalarOf(field: DescField): Scalar | undefined {
  if (field.fieldKind === "enum") return SCALARS[ScalarType.INT32];
  const isScalar = field.fieldKind === "scalar" || (field.fieldKind === "list" && field.listKind === "scalar");
  return isScalar ? SCALARS[field.scalar] : undefined;
}

/** Whether a field is a list of numbers, which are written as one and may come one by one. */
function isPacked(field: DescField): boolean {
  return field.fieldKind === "list" && field.packed;
}

/** Whether a field is a map from texts to messages. */
function isMap(field: DescField): field is DescField & { fieldKind: "map"; message: DescMessage } {
  return field.fieldKind === "map" && field.mapKey === ScalarType.STRING && field.message !== undefined;
}

/** Whether a message is written here, and not by the library. */
function isPlain(message: DescMessage): boolean {
  return message.fields.every((field) => {
    if (field.fieldKind === "map") return isMap(field) && isPlain(field.message);
    return (field.message ?? scalarOf(field)) !== undefined;
  });
}

/** The messages and all that are inside of them, each once, inner ones first. */
function reachable(messages: Iterable<DescMessage>, found = new Set<DescMessage>()): Set<DescMessage> {
  for (const message of messages) {
    if (found.has(message) || !isPlain(message)) continue;
    reachable(
      message.fields.flatMap((field) => field.message ?? []),
      found,
    );
    found.add(message);
  }
  return found;
}

/** Of one value. */
function tagOf(field: DescField): number {
  return ((field.number << 3) | (scalarOf(field)?.wire ?? WireType.LengthDelimited)) >>> 0;
}

/** Of a whole list of numbers. */
function packedTagOf(field: DescField): number {
  return ((field.number << 3) | WireType.LengthDelimited) >>> 0;
}

/** Tags of the fields of an entry of a map. */
const ENTRY = { key: (1 << 3) | WireType.LengthDelimited, value: (2 << 3) | WireType.LengthDelimited } as const;

/** Where the value of a field is in its message, and whether it is there. */
function placeOf(field: DescField): { readonly value: string; readonly isThere: string } {
  const value = `message.${field.oneof?.localName ?? field.localName}`;
  if (field.oneof) return { value: `${value}.value`, isThere: `${value}.case === "${field.localName}"` };
  const scalar = scalarOf(field);
  const isExplicit = scalar === undefined || field.proto.proto3Optional;
  return { value, isThere: isExplicit ? `${value} !== undefined` : scalar.isSet(value) };
}

function printWriter(file: GeneratedFile, message: DescMessage): void {
  const writer = file.import("BinaryWriter", WIRE, true);
  const unused = message.fields.length === 0 ? "_" : "";
  const parameters = [`${unused}writer: `, writer, `, ${unused}message: `, file.importShape(message)];
  file.print("function write", message.name, "(", parameters, "): void {");
  for (const field of [...message.fields].sort((left, right) => left.number - right.number)) {
    const { value, isThere } = placeOf(field);
    const scalar = scalarOf(field);
    const put = (one: string): Printable[] => {
      const tag = tagOf(field);
      if (scalar) return [`writer.uint32(${tag}).${scalar.method}(${one});`];
      const inner = field.message!;
      if (!isPlain(inner)) {
        const bytes = [file.import("toBinary", "@bufbuild/protobuf"), "(", file.importSchema(inner), `, ${one})`];
        return [`writer.uint32(${tag}).bytes(`, ...bytes, ");"];
      }
      return [`writer.uint32(${tag}).fork();\n    write${inner.name}(writer, ${one});\n    writer.join();`];
    };
    if (isMap(field)) {
      file.print("  for (const [key, one] of Object.entries(", value, ")) {");
      file.print(
        `    writer.uint32(${tagOf(field)}).fork().uint32(${ENTRY.key}).string(key).uint32(${ENTRY.value}).fork();`,
      );
      file.print("    write", field.message.name, "(writer, one);");
      file.print("    writer.join().join();\n  }");
    } else if (scalar && isPacked(field)) {
      file.print("  if (", value, ".length > 0) {");
      file.print(`    writer.uint32(${packedTagOf(field)}).fork();`);
      file.print("    for (const one of ", value, `) writer.${scalar.method}(one);`);
      file.print("    writer.join();\n  }");
    } else if (field.fieldKind === "list") file.print("  for (const one of ", value, ") {\n    ", put("one"), "\n  }");
    else file.print("  if (", isThere, ") {\n    ", put(value), "\n  }");
  }
  file.print("}\n");
}

/** The message that is there already when another one comes for a field: the two are merged. */
function mergedInto(field: DescField, target: string): string {
  return field.oneof ? `${target}.case === "${field.localName}" ? ${target}.value : undefined` : target;
}

function printReader(file: GeneratedFile, message: DescMessage): void {
  const shape = file.importShape(message);
  const reader = file.import("BinaryReader", WIRE, true);
  const name = message.name;
  file.print("function read", name, "(reader: ", reader, ", length: number, into?: ", shape, "): ", shape, " {");
  file.print("  const message: ", shape, " = into ?? {");
  file.print("    $typeName: ", file.string(message.typeName), ",");
  for (const { localName } of message.oneofs) file.print("    ", localName, ": { case: undefined },");
  for (const field of message.fields) {
    if (field.oneof) continue;
    const zero = field.fieldKind === "list" ? "[]" : field.fieldKind === "map" ? "{}" : scalarOf(field)?.zero;
    if (zero && !field.proto.proto3Optional) file.print("    ", field.localName, ": ", zero, ",");
  }
  file.print("  };");
  file.print("  const end = endOf(reader, length);");
  file.print("  while (reader.pos < end) {");
  file.print("    const tag = reader.uint32();");
  file.print("    switch (tag) {");
  for (const field of message.fields) {
    const scalar = scalarOf(field);
    const target = `message.${field.oneof?.localName ?? field.localName}`;
    const list = field.fieldKind === "list";
    if (isMap(field)) {
      printEntryReader(file, field);
      continue;
    }
    file.print("      case ", tagOf(field), ":");
    let value: Printable[];
    if (scalar) {
      value = [`reader.${scalar.method}(${scalar.method === "string" ? "true" : ""})`];
      // The library has types of its own for these, wider than the field's.
      if (field.enum) value.push(" as ", file.importShape(field.enum));
      else if (scalar.zero === "0n") value.push(" as bigint");
    } else {
      const inner = field.message!;
      value = isPlain(inner)
        ? [`read${inner.name}(reader, reader.uint32()${list ? "" : `, ${mergedInto(field, target)}`})`]
        : [file.import("fromBinary", "@bufbuild/protobuf"), "(", file.importSchema(inner), ", reader.bytes())"];
    }
    if (field.oneof) value = [`{ case: "${field.localName}", value: `, ...value, " }"];
    file.print("        ", target, list ? ".push(" : " = ", value, list ? ")" : "", ";");
    file.print("        break;");
    if (!isPacked(field)) continue;
    file.print("      case ", packedTagOf(field), ":");
    file.print("        for (const last = endOf(reader, reader.uint32()); reader.pos < last; )");
    file.print("          ", target, ".push(", value, ");");
    file.print("        break;");
  }
  file.print("      default:");
  file.print("        skip(reader, tag);");
  file.print("    }");
  file.print("  }");
  file.print("  return message;");
  file.print("}\n");
}

/** An entry is a message of a key and a value; the last one of a key counts. */
function printEntryReader(file: GeneratedFile, field: DescField & { readonly message: DescMessage }): void {
  const read = `read${field.message.name}`;
  file.print("      case ", tagOf(field), ": {");
  file.print('        let key = "";');
  file.print("        let value: ", file.importShape(field.message), " | undefined;");
  file.print("        for (const last = endOf(reader, reader.uint32()); reader.pos < last; ) {");
  file.print("          const inner = reader.uint32();");
  file.print(`          if (inner === ${ENTRY.key}) key = reader.string(true);`);
  file.print(`          else if (inner === ${ENTRY.value}) value = ${read}(reader, reader.uint32(), value);`);
  file.print("          else skip(reader, inner);");
  file.print("        }");
  file.print(`        put(message.${field.localName}, key, value ?? ${read}(reader, 0));`);
  file.print("        break;\n      }");
}

function printHelpers(file: GeneratedFile): void {
  const reader = file.import("BinaryReader", WIRE, true);
  file.print("const EMPTY = new Uint8Array(0);\n");
  file.print("/** Where a message of so many bytes ends. Throws when that is behind the end of what there is. */");
  file.print("function endOf(reader: ", reader, ", length: number): number {");
  file.print("  const end = reader.pos + length;");
  file.print('  if (end > reader.len) throw new RangeError("premature EOF");');
  file.print("  return end;");
  file.print("}\n");
  file.print("/** Passes over a field that this version does not know. */");
  file.print("function skip(reader: ", reader, ", tag: number): void {");
  file.print('  if (tag >>> 3 === 0) throw new Error("a field has the number 0");');
  file.print("  reader.skip(tag & 7, tag >>> 3);");
  file.print("}\n");
  file.print("/** Puts an entry into a map, whatever its name. */");
  file.print("function put<Value>(map: Record<string, Value>, key: string, value: Value): void {");
  file.print('  if (key !== "__proto__") map[key] = value;');
  file.print(
    "  else Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });",
  );
  file.print("}\n");
}

function printTable(file: GeneratedFile, messages: Iterable<DescMessage>): void {
  const [reader, writer] = [file.import("BinaryReader", WIRE, true), file.import("BinaryWriter", WIRE, true)];
  const [desc, message] = ["DescMessage", "Message"].map((name) => file.import(name, "@bufbuild/protobuf", true));
  file.print(
    "/** Reads and writes one type of message, as the library does; fields that it does not know are dropped. */",
  );
  file.print(file.export("interface", "Codec"), " {");
  file.print("  write(writer: ", writer, ", message: ", message!, "): void;");
  file.print("  /** Reads `length` bytes. Throws for bytes that are no such message. */");
  file.print("  read(reader: ", reader, ", length: number): ", message!, ";");
  file.print("}\n");
  file.print("/** By schema, for the messages that are sent for every request or every step. */");
  file.print(file.export("const", "CODECS"), ": ReadonlyMap<", desc!, ", Codec> = new Map<", desc!, ", Codec>([");
  for (const one of messages) {
    file.print("  [", file.importSchema(one), ", { write: write", one.name, ", read: read", one.name, " }],");
  }
  file.print("]);");
}

runNodeJs(
  createEcmaScriptPlugin({
    name: "stator-codec",
    version: "v1",
    parseOptions(options) {
      const valuesOf = (name: string) => options.filter(({ key }) => key === name).map(({ value }) => value);
      return { services: valuesOf("service"), messages: valuesOf("message") };
    },
    generateTs(schema) {
      const services = schema.files.flatMap((one) =>
        one.services.filter((s) => schema.options.services.includes(s.typeName)),
      );
      if (services.length === 0) return;
      const alone = schema.files.flatMap((one) =>
        one.messages.filter((message) => schema.options.messages.includes(message.typeName)),
      );
      const ofServices = services.flatMap(({ methods }) => methods.flatMap(({ input, output }) => [input, output]));
      const ends = new Set([...ofServices, ...alone]);
      const file = schema.generateFile("codecs.ts");
      file.print(
        "// @generated by tools/gen/codec-plugin.ts from the messages of ",
        [...services, ...alone].map((one) => one.typeName).join(", "),
      );
      printHelpers(file);
      for (const message of reachable(ends)) {
        printWriter(file, message);
        printReader(file, message);
      }
      printTable(file, ends);
    },
  }),
);
