import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  type FileDescriptorProto,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";

/** Comments of a file by the path of the element, numbers joined by dots as a descriptor counts them. */
export type Comments = ReadonlyMap<string, string>;

interface Place {
  readonly comments: Comments;
  /** Path of the element in its file, as the comments are keyed. */
  readonly path: string;
}

/** A section per message and enum of a file, with a table of its fields or values. `comments` are keyed by path. */
export function renderMessages(file: FileDescriptorProto, comments: Comments): string[] {
  return [
    ...file.messageType.flatMap((message, at) => renderMessage(message, { comments, path: `4.${at}` })),
    ...file.enumType.map((values, at) => renderEnum(values, { comments, path: `5.${at}` })),
  ];
}

function renderMessage(message: DescriptorProto, { comments, path }: Place): string[] {
  const title = `### ${message.name}\n\n${comments.get(path) ?? ""}\n`;
  const maps = new Map(message.nestedType.filter((nested) => nested.options?.mapEntry).map((one) => [one.name, one]));
  const rows = message.field.map((field, at) => {
    return `| ${field.number} | \`${field.name}\` | ${typeOf(field, message, maps)} | ${comments.get(`${path}.2.${at}`) ?? ""} |`;
  });
  const table = rows.length === 0 ? [] : ["| number | field | type | what |", "|---|---|---|---|", ...rows, ""];
  const nested = message.nestedType.flatMap((one, at) =>
    one.options?.mapEntry ? [] : renderMessage(one, { comments, path: `${path}.3.${at}` }),
  );
  return [[title, ...table].join("\n"), ...nested];
}

function renderEnum({ name, value }: EnumDescriptorProto, { comments, path }: Place): string {
  const rows = value.map((one, at) => `| ${one.number} | \`${one.name}\` | ${comments.get(`${path}.2.${at}`) ?? ""} |`);
  const title = `### ${name}\n\n${comments.get(path) ?? ""}\n`;
  return [title, "| number | value | what |", "|---|---|---|", ...rows, ""].join("\n");
}

function typeOf(
  field: FieldDescriptorProto,
  message: DescriptorProto,
  maps: ReadonlyMap<string, DescriptorProto>,
): string {
  const map = maps.get(shortName(field.typeName));
  if (map !== undefined) return `map of ${map.field.map((one) => typeOf(one, map, maps)).join(" to ")}`;
  const name = field.typeName === "" ? Type[field.type].toLowerCase() : shortName(field.typeName);
  if (field.label === Label.REPEATED) return `${name}[]`;
  if (field.proto3Optional) return `${name}?`;
  const group = Object.hasOwn(field, "oneofIndex") ? message.oneofDecl[field.oneofIndex]?.name : undefined;
  return group === undefined ? name : `${name}, one of ${group}`;
}

function shortName(type: string): string {
  return type.slice(type.lastIndexOf(".") + 1);
}
