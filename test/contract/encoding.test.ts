import { readFileSync } from "node:fs";
import {
  createFileRegistry,
  type DescField,
  type DescFile,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  getOption,
  ScalarType,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { Access, access } from "#gen/stator/common/v1/common_pb";
import { buildImage } from "../../tools/lock/contracts.ts";
import { inTemporaryFolder } from "../../tools/temporary-folder.ts";

const registry = readContracts();
const ours = [...registry.files].filter((file) => file.proto.package.startsWith("stator."));

/** Messages that are sent for every request or every engine step. */
const HOT_PACKAGE = "stator.worker.v1";

/** Number types that would travel one by one in a repeated field. */
const NOT_NUMBERS = new Set([ScalarType.STRING, ScalarType.BYTES, ScalarType.BOOL]);

/** Words that ask for a unit of time behind them. */
const NEEDS_UNIT = /(^|_)(timeout|duration|interval|latency|delay|deadline|elapsed|ttl)$/;

describe("the contracts of our own", () => {
  test("say for every method who may call it", () => {
    const undeclared = ours
      .flatMap((file) => file.services.flatMap((service) => service.methods))
      .filter((method) => getOption(method, access) === Access.UNSPECIFIED)
      .map((method) => `${method.parent.typeName}.${method.name}`);
    expect(undeclared).toEqual([]);
  });

  test("never send a hash as text", () => {
    expect(fieldsWhere((field) => field.scalar === ScalarType.STRING && /(^|_)hash(es)?$/.test(field.name))).toEqual(
      [],
    );
  });

  test("never send Any or Struct", () => {
    const loose = ["google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value"];
    expect(fieldsWhere((field) => field.message !== undefined && loose.includes(field.message.typeName))).toEqual([]);
  });

  test("name the unit of a quantity at the end of the field's name", () => {
    expect(fieldsWhere((field) => isNumber(field) && NEEDS_UNIT.test(field.name))).toEqual([]);
  });

  test(`send rows of numbers as bytes and no map in ${HOT_PACKAGE}`, () => {
    const slow = fieldsWhere((field) => {
      if (field.parent.file.proto.package !== HOT_PACKAGE) return false;
      if (field.fieldKind === "map") return true;
      return field.fieldKind === "list" && field.scalar !== undefined && !NOT_NUMBERS.has(field.scalar);
    });
    expect(slow).toEqual([]);
  });
});

function isNumber(field: DescField): boolean {
  return field.fieldKind === "scalar" && !NOT_NUMBERS.has(field.scalar);
}

function fieldsWhere(matches: (field: DescField) => boolean): string[] {
  return ours
    .flatMap((file) => allMessages(file))
    .flatMap((message) => message.fields)
    .filter((field) => matches(field))
    .map((field) => `${field.parent.typeName}.${field.name}`);
}

function allMessages(parent: DescFile | DescMessage): DescMessage[] {
  const messages = "messages" in parent ? parent.messages : parent.nestedMessages;
  return messages.flatMap((message) => [message, ...allMessages(message)]);
}

function readContracts(): FileRegistry {
  return inTemporaryFolder((folder) => {
    buildImage(`${folder}/contracts.binpb`);
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(`${folder}/contracts.binpb`)));
  });
}
