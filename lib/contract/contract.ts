import {
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
} from "@bufbuild/protobuf";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { StatorError } from "#lib/base/errors";
import { CONTRACT_LIMITS, type ContractLimits } from "./limits.ts";

/** An element that has a full name of its own: what can be removed, renamed and moved. */
export type Element = DescMessage | DescEnum | DescService | DescExtension;

/** One contract, as it is compared. */
export interface Contract {
  /** Its files by path, without those of google.protobuf, which are nobody's to change. */
  readonly files: ReadonlyMap<string, DescFile>;
  /** Its elements by full name; what is nested in a message comes after it, and entries of maps are left out. */
  readonly elements: ReadonlyMap<string, Element>;
  /** Finds types and extensions, those of google.protobuf too. */
  readonly registry: FileRegistry;
}

/**
 * Reads an image: a FileDescriptorSet in binary form, with all that its files import, as `buf build` and
 * `protoc --include_imports --descriptor_set_out` write it. `name` is what errors call it. Throws CORRUPT where the bytes are
 * none, LIMIT where they are too many.
 */
export function readImage(bytes: Uint8Array, name: string, limits: ContractLimits = CONTRACT_LIMITS): Contract {
  if (bytes.length > limits.imageBytes) {
    throw new StatorError("LIMIT", { what: `${name}, as an image`, limit: `${limits.imageBytes} bytes` });
  }
  if (bytes.length === 0) throw new StatorError("CORRUPT", { what: name, detail: "it is empty" });
  const set = readSet(bytes, name);
  if (set.file.length === 0) throw new StatorError("CORRUPT", { what: name, detail: "it has no files" });
  const registry = readRegistry(set, name);
  const own = [...registry.files].filter(({ proto }) => !/^google\.protobuf(\.|$)/.test(proto.package));
  const elements = new Map<string, Element>();
  const count = own.reduce((sum, file) => sum + collect(file, elements), 0);
  if (count > limits.elements)
    throw new StatorError("LIMIT", { what: `${name}, in elements,`, limit: limits.elements });
  const files = new Map(own.map((file) => [file.proto.name, file]));
  return { files, elements, registry };
}

/** Whoever reads foreign bytes throws what it likes; to a reader of an image all of it means that the image is none. */
function readSet(bytes: Uint8Array, name: string): FileDescriptorSet {
  try {
    return fromBinary(FileDescriptorSetSchema, bytes);
  } catch (error) {
    const detail = "it is no FileDescriptorSet, or it was cut off";
    throw new StatorError("CORRUPT", { what: name, detail }, { cause: error });
  }
}

function readRegistry(set: FileDescriptorSet, name: string): FileRegistry {
  const there = new Set(set.file.map((file) => file.name));
  const missing = set.file.flatMap(({ dependency }) => dependency).find((file) => !there.has(file));
  if (missing !== undefined) {
    const detail = `it does not hold ${missing}, which it imports; make it with buf build, or with protoc --include_imports`;
    throw new StatorError("CORRUPT", { what: name, detail });
  }
  try {
    return createFileRegistry(set);
  } catch (error) {
    throw new StatorError("CORRUPT", { what: name, detail: "its descriptors contradict each other" }, { cause: error });
  }
}

/** Puts the elements of a file in their order into the map, and returns how many there are with fields, values and methods. */
function collect(file: DescFile, elements: Map<string, Element>): number {
  let count = 0;
  const add = (element: Element, parts: number): void => {
    elements.set(element.typeName, element);
    count += parts + 1;
  };
  const messages = [...file.messages].reverse();
  for (let message = messages.pop(); message !== undefined; message = messages.pop()) {
    add(message, message.fields.length);
    for (const each of message.nestedEnums) add(each, each.values.length);
    for (const each of message.nestedExtensions) add(each, 0);
    messages.push(...[...message.nestedMessages].reverse());
  }
  for (const each of file.enums) add(each, each.values.length);
  for (const each of file.extensions) add(each, 0);
  for (const each of file.services) add(each, each.methods.length);
  return count;
}

/** The package of an element or of a file; empty where it has none. */
export function packageOf(one: Element | DescFile): string {
  return one.kind === "file" ? one.proto.package : one.file.proto.package;
}
