import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { InstanceRecordSchema, RecordSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { decodeRecord, storedRecord, wireRecord } from "./codec.ts";
import { readWorkerRole, takesPromptsAlone, takesWholeRequests, WIRE_ROLES } from "./worker-role.ts";

it("a role is what was written; none is an older build's, and one beyond is a newer one's", () => {
  for (const [role, workerRole] of Object.entries(WIRE_ROLES)) expect(readWorkerRole({ workerRole })).toBe(role);
  const old = fromBinary(InstanceRecordSchema, toBinary(InstanceRecordSchema, create(InstanceRecordSchema)));
  expect(readWorkerRole(old)).toBe("aggregated");
  // Field 16 with 99.
  expect(readWorkerRole(fromBinary(InstanceRecordSchema, Uint8Array.of(0x80, 1, 99)))).toBe("unknown");
});

it("a request as a client asks it goes where all of it is done", () => {
  const roles = ["aggregated", "prefill", "decode", "encode", "unknown"] as const;
  expect(roles.filter(takesWholeRequests)).toEqual(["aggregated", "decode"]);
  expect(roles.filter(takesPromptsAlone)).toEqual(["prefill"]);
});

it("facts of an engine, and fields that this build does not know, go through a store as they came", () => {
  const engineDescription = { name: "vLLM", version: "0.12", facts: { kv_connector: "nixl" } };
  const value = create(InstanceRecordSchema, { instanceId: 1n, engineDescription });
  // Field 99 of a newer build, in the record's own description.
  value.engineDescription!.$unknown = [{ no: 99, wireType: 0, data: Uint8Array.of(5) }];
  const message = create(RecordSchema, { key: "a", value: { case: "instance", value } });
  const stored = storedRecord(wireRecord(storedRecord(message), 7n));
  const read = decodeRecord("a", stored.bytes)?.value;
  expect(read?.case === "instance" && read.value.engineDescription).toMatchObject({
    ...engineDescription,
    $unknown: [{ no: 99, data: Uint8Array.of(5) }],
  });
});
