import { type DescMessage, type Message, toJson } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { StatorError } from "#lib/base/errors";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";
import type { InferenceHandlers } from "./service.ts";

/** What was called last: the method and its request. */
let called: [string, unknown];
const heard = (name: keyof typeof GRPCInferenceService.method, request: Message): void => {
  const schema: DescMessage = GRPCInferenceService.method[name].input;
  called = [name, toJson(schema, request)];
};

const region = { name: "r", key: "/k", offset: 0n, byteSize: 64n };
const trace = { trace_level: { value: ["TIMESTAMPS"] }, trace_rate: { value: ["9"] }, log_frequency: { value: [] } };
const logs = {
  log_info: { parameterChoice: { case: "boolParam", value: true } },
  log_verbose_level: { parameterChoice: { case: "uint32Param", value: 2 } },
  log_format: { parameterChoice: { case: "stringParam", value: "default" } },
} as const;

const handlers: InferenceHandlers = {
  repositoryModelLoad(request) {
    heard("repositoryModelLoad", request);
    if (request.modelName === "bad") throw new StatorError("INVALID_ARGUMENT", { detail: "failed to load bad" });
    return { modelName: request.modelName, isLoaded: true };
  },
  repositoryModelUnload(request) {
    heard("repositoryModelUnload", request);
    return {};
  },
  systemSharedMemoryStatus(request) {
    heard("systemSharedMemoryStatus", request);
    return { regions: { r: region } };
  },
  systemSharedMemoryRegister(request) {
    heard("systemSharedMemoryRegister", request);
    return {};
  },
  systemSharedMemoryUnregister(request) {
    heard("systemSharedMemoryUnregister", request);
    return {};
  },
  cudaSharedMemoryStatus(request) {
    heard("cudaSharedMemoryStatus", request);
    return { regions: {} };
  },
  cudaSharedMemoryRegister(request) {
    heard("cudaSharedMemoryRegister", request);
    return {};
  },
  traceSetting(request) {
    heard("traceSetting", request);
    return { settings: trace };
  },
  logSettings(request) {
    heard("logSettings", request);
    return { settings: logs };
  },
};

let rehearsal: Rehearsal;
beforeAll(async () => {
  const dispatcher = new RehearsalDispatcher({ reply: () => ({ tokens: new Uint32Array(0) }) });
  const inference = { ledger: { model: () => undefined }, serverName: "stator", handlers };
  rehearsal = await openRehearsal(dispatcher, { inference });
});
afterAll(() => rehearsal.frontend.close({ drainMs: 0 }));

const ask = async (method: "GET" | "POST", path: string, body?: unknown): Promise<[number, unknown]> => {
  const response = await fetch(rehearsal.url + path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return [response.status, await response.json()];
};

describe("operators' methods over HTTP are those of the service", () => {
  const named = { name: "r" };
  const listed = [{ name: "r", key: "/k", offset: 0, byte_size: 64 }];
  const tracing = { trace_level: ["TIMESTAMPS"], trace_rate: "9", log_frequency: [] };
  const logging = { log_info: true, log_verbose_level: 2, log_format: "default" };
  it.each<["GET" | "POST", string, unknown, unknown, [string, unknown]]>([
    [
      "POST",
      "/v2/repository/models/m/load",
      undefined,
      { name: "m", load: true },
      ["repositoryModelLoad", { modelName: "m" }],
    ],
    [
      "POST",
      "/v2/repository/models/m%2Fa/load",
      { parameters: { config: "{}", "file:1/a": "AQI=", flag: true, n: 3 } },
      { name: "m/a", load: true },
      [
        "repositoryModelLoad",
        {
          modelName: "m/a",
          parameters: {
            config: { stringParam: "{}" },
            "file:1/a": { bytesParam: "AQI=" },
            flag: { boolParam: true },
            n: { int64Param: "3" },
          },
        },
      ],
    ],
    [
      "POST",
      "/v2/repository/models/m/unload",
      { parameters: { unload_dependents: false } },
      { name: "m", unload: true },
      ["repositoryModelUnload", { modelName: "m", parameters: { unload_dependents: { boolParam: false } } }],
    ],
    ["GET", "/v2/systemsharedmemory/status", undefined, listed, ["systemSharedMemoryStatus", {}]],
    ["GET", "/v2/systemsharedmemory/region/r/status", undefined, listed, ["systemSharedMemoryStatus", named]],
    [
      "POST",
      "/v2/systemsharedmemory/region/r/register",
      { key: "/k", offset: 8, byte_size: 64 },
      {},
      ["systemSharedMemoryRegister", { ...named, key: "/k", offset: "8", byteSize: "64" }],
    ],
    ["POST", "/v2/systemsharedmemory/unregister", undefined, {}, ["systemSharedMemoryUnregister", {}]],
    ["POST", "/v2/systemsharedmemory/region/r/unregister", {}, {}, ["systemSharedMemoryUnregister", named]],
    ["GET", "/v2/cudasharedmemory/status", undefined, [], ["cudaSharedMemoryStatus", {}]],
    [
      "POST",
      "/v2/cudasharedmemory/region/r/register",
      { raw_handle: { b64: "AQ==" }, device_id: 1, byte_size: 4 },
      {},
      ["cudaSharedMemoryRegister", { ...named, rawHandle: "AQ==", deviceId: "1", byteSize: "4" }],
    ],
    ["GET", "/v2/trace/setting", undefined, tracing, ["traceSetting", {}]],
    [
      "POST",
      "/v2/models/m/trace/setting",
      { trace_level: ["OFF"], trace_rate: 5, trace_count: null },
      tracing,
      [
        "traceSetting",
        {
          modelName: "m",
          settings: { trace_level: { value: ["OFF"] }, trace_rate: { value: ["5"] }, trace_count: {} },
        },
      ],
    ],
    ["GET", "/v2/logging", undefined, logging, ["logSettings", {}]],
    [
      "POST",
      "/v2/logging",
      { log_info: false, log_verbose_level: 1, log_file: "" },
      logging,
      [
        "logSettings",
        {
          settings: {
            log_info: { boolParam: false },
            log_verbose_level: { uint32Param: 1 },
            log_file: { stringParam: "" },
          },
        },
      ],
    ],
  ])("%s %s with %j", async (method, path, body, answer, call) => {
    expect(await ask(method, path, body)).toEqual([200, answer]);
    expect(called).toEqual(call);
  });

  it.each<[string, unknown, number, string]>([
    ["/v2/repository/models/bad/load", {}, 400, "failed to load bad"],
    ["/v2/repository/models/m/load", { parameters: { "file:a": "*" } }, 400, "must be base64"],
    ["/v2/systemsharedmemory/region/r/register", { key: "/k" }, 400, "byte_size: is required"],
    ["/v2/systemsharedmemory/region/r/unregister", { name: "r" }, 400, "name"],
    ["/v2/cudasharedmemory/region/r/register", { raw_handle: "AQ==", device_id: 0, byte_size: 1 }, 400, "raw_handle"],
    ["/v2/cudasharedmemory/region/r/unregister", {}, 400, "SharedMemory"],
    ["/v2/trace/setting", { trace_rate: { a: 1 } }, 400, "trace_rate: must be text"],
    ["/v2/trace/setting", [1], 400, "must be an object"],
    ["/v2/logging", { log_verbose_level: -1 }, 400, "log_verbose_level: must be"],
    ["/v2/logging", Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`s${at}`, 1])), 400, "at most 64"],
  ])("POST %s with %j is refused", async (path, body, status, sentence) => {
    expect(await ask("POST", path, body)).toEqual([status, { error: expect.stringContaining(sentence) }]);
  });
});
