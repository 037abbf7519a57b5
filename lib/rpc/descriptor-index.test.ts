import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { DescriptorIndex } from "./descriptor-index.ts";

const index = new DescriptorIndex([WorkerLinkService]);
const LINK = "stator/worker/v1/link.proto";
const names = (files: Uint8Array[] | undefined) =>
  files?.map((each) => fromBinary(FileDescriptorProtoSchema, each).name);

test.each([
  "stator.worker.v1.WorkerLinkService",
  "stator.worker.v1.WorkerLinkService.Link",
  "stator.worker.v1.Submit",
  "stator.worker.v1.Submit.handle",
  "stator.worker.v1.FinishReason",
  "stator.worker.v1.FINISH_REASON_END",
])("%s is found with everything that its file imports", (symbol) => {
  const found = names(index.bySymbol(symbol));
  expect(found?.[0]).toBe(LINK);
  expect(found).toContain("stator/common/v1/common.proto");
  expect(found).toContain("google/protobuf/descriptor.proto");
});

test("files and extensions are found, and nothing else", () => {
  expect(names(index.byFilename(LINK))?.[0]).toBe(LINK);
  expect(names(index.byExtension("google.protobuf.MethodOptions", 50101))?.[0]).toBe("stator/common/v1/common.proto");
  expect(index.extensionNumbers("google.protobuf.MethodOptions")).toEqual([50101]);
  expect(index.extensionNumbers("stator.worker.v1.Submit")).toEqual([]);
  expect(index.extensionNumbers("no.such.Message")).toBeUndefined();
  expect(index.bySymbol("stator.worker.v1")).toBeUndefined();
  expect(index.byFilename("link.proto")).toBeUndefined();
});

test("a descriptor keeps its own options", () => {
  const [file] = index.byFilename(LINK) ?? [];
  const link = fromBinary(FileDescriptorProtoSchema, file ?? new Uint8Array()).service[0]?.method[0];
  expect(link?.options?.$unknown?.map(({ no }) => no)).toEqual([50101]);
});
