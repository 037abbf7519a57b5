import type { DescEnum, DescExtension, DescField, DescMessage, DescService } from "@bufbuild/protobuf";
import { FieldDescriptorProto_Type as ProtoType } from "@bufbuild/protobuf/wkt";
import type { Element } from "./contract.ts";

/**
 * What an element is made of, as a text that is equal where nothing but its name differs. Undefined of what is empty or has
 * too little to be known by.
 */
export function shapeOf(element: Element): string | undefined {
  switch (element.kind) {
    case "message":
      return element.fields.length === 0 ? undefined : `message ${shapeOfMessage(element)}`;
    case "enum":
      return element.values.length < 2 ? undefined : `enum ${shapeOfEnum(element)}`;
    case "service":
      return element.methods.length === 0 ? undefined : `service ${shapeOfService(element)}`;
    default:
      return undefined;
  }
}

function shapeOfMessage(message: DescMessage): string {
  const own = `.${message.typeName}`;
  return message.fields
    .map(({ number, name, proto, oneof }) => {
      const type = proto.typeName.startsWith(own) ? proto.typeName.slice(own.length) : proto.typeName;
      return [number, name, proto.label, proto.type, type, oneof?.name ?? ""].join(" ");
    })
    .sort()
    .join(",");
}

/** Names of values begin with that of their enum, and are compared without it. */
function shapeOfEnum({ values, sharedPrefix = "" }: DescEnum): string {
  return values.map(({ number, name }) => `${number} ${name.slice(sharedPrefix.length)}`).join(",");
}

function shapeOfService({ methods }: DescService): string {
  return methods.map(({ name, input, output }) => `${name} ${input.typeName} ${output.typeName}`).join(",");
}

/** The type of a field as its declaration writes it, without the package of a message or an enum. */
export function typeText(field: DescField | DescExtension): string {
  if (field.fieldKind === "map") {
    const value = field.message ?? field.enum;
    return `map<${scalarText(field.mapKey)}, ${value?.name ?? scalarText(field.scalar!)}>`;
  }
  return field.message?.name ?? field.enum?.name ?? scalarText(field.scalar!);
}

/** The full name of a type without its package. */
export function nameInPackage({ typeName, file }: DescMessage | DescEnum): string {
  return file.proto.package === "" ? typeName : typeName.slice(file.proto.package.length + 1);
}

/** The word of the language for a scalar type. */
export function scalarText(type: number): string {
  return (ProtoType[type] ?? "unknown").toLowerCase();
}
