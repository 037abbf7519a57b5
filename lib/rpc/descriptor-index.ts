import {
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** Every file that some services reach, found by name, symbol or extension. */
export class DescriptorIndex {
  /** Full names of the services, sorted. */
  readonly services: readonly string[];
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions = new Map<string, Map<number, DescFile>>();
  readonly #bytes = new Map<DescFile, Uint8Array>();

  constructor(services: readonly DescService[]) {
    this.services = services.map((service) => service.typeName).sort();
    for (const service of services) this.#addFile(service.file);
  }

  /** The file of a name such as google/protobuf/any.proto, after it the files that it imports. */
  byFilename(name: string): Uint8Array[] | undefined {
    return this.#withImports(this.#files.get(name));
  }

  /** The file that declares a symbol, by its full name. */
  bySymbol(symbol: string): Uint8Array[] | undefined {
    return this.#withImports(this.#symbols.get(symbol));
  }

  /** The file that declares an extension of a message. */
  byExtension(message: string, number: number): Uint8Array[] | undefined {
    return this.#withImports(this.#extensions.get(message)?.get(number));
  }

  /** Numbers of the extensions of a message; undefined for no such message. */
  extensionNumbers(message: string): number[] | undefined {
    if (!this.#symbols.has(message)) return undefined;
    return [...(this.#extensions.get(message)?.keys() ?? [])];
  }

  #withImports(file: DescFile | undefined): Uint8Array[] | undefined {
    if (!file) return undefined;
    const found = new Set<DescFile>();
    const add = (next: DescFile) => {
      if (found.has(next)) return;
      found.add(next);
      for (const imported of next.dependencies) add(imported);
    };
    add(file);
    return [...found].map((each) => this.#serialized(each));
  }

  #serialized(file: DescFile): Uint8Array {
    let bytes = this.#bytes.get(file);
    if (!bytes) {
      bytes = toBinary(FileDescriptorProtoSchema, file.proto);
      this.#bytes.set(file, bytes);
    }
    return bytes;
  }

  #addFile(file: DescFile): void {
    const name = file.proto.name;
    if (this.#files.has(name)) return;
    this.#files.set(name, file);
    for (const service of file.services) {
      this.#symbols.set(service.typeName, file);
      for (const method of service.methods) this.#symbols.set(`${service.typeName}.${method.name}`, file);
    }
    for (const message of file.messages) this.#addMessage(message);
    for (const enumeration of file.enums) this.#addEnum(enumeration);
    for (const extension of file.extensions) this.#addExtension(extension);
    for (const imported of file.dependencies) this.#addFile(imported);
  }

  #addMessage(message: DescMessage): void {
    this.#symbols.set(message.typeName, message.file);
    for (const member of [...message.fields, ...message.oneofs]) {
      this.#symbols.set(`${message.typeName}.${member.name}`, message.file);
    }
    for (const nested of message.nestedMessages) this.#addMessage(nested);
    for (const nested of message.nestedEnums) this.#addEnum(nested);
    for (const nested of message.nestedExtensions) this.#addExtension(nested);
  }

  #addEnum(enumeration: DescEnum): void {
    this.#symbols.set(enumeration.typeName, enumeration.file);
    // The values of an enum live beside it, not in it.
    const scope = enumeration.typeName.slice(0, enumeration.typeName.lastIndexOf(".") + 1);
    for (const value of enumeration.values) this.#symbols.set(scope + value.name, enumeration.file);
  }

  #addExtension(extension: DescExtension): void {
    this.#symbols.set(extension.typeName, extension.file);
    const extended = extension.extendee.typeName;
    const numbers = this.#extensions.get(extended) ?? new Map<number, DescFile>();
    numbers.set(extension.number, extension.file);
    this.#extensions.set(extended, numbers);
  }
}
