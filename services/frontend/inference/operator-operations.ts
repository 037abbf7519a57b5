import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ModelRepositoryParameterSchema } from "#gen/inference/repository_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import type {
  LogSettingsRequest_SettingValueSchema,
  LogSettingsResponse,
  TraceSettingRequest_SettingValueSchema,
  TraceSettingResponse,
} from "#gen/inference/settings_pb";
import {
  CudaSharedMemoryStatusResponse_RegionStatusSchema,
  SystemSharedMemoryStatusResponse_RegionStatusSchema,
} from "#gen/inference/shared_memory_pb";
import { compileCheck } from "#lib/api/check";
import type { Fields } from "#lib/api/field";
import type { KSERVE_ANSWERS } from "#lib/api/kserve/answers";
import { printMessage } from "#lib/api/kserve/json-message";
import { CUDA_REGION_FIELDS, LOAD_FIELDS, SYSTEM_REGION_FIELDS } from "#lib/api/kserve/operation-fields";
import { KSERVE_ERROR, kserveSchema } from "#lib/api/kserve/routes";
import type { ApiRoute, ApiSchema } from "#lib/api/routes";
import { StatorError } from "#lib/base/errors";
import { createOperation, type Operation } from "./operations.ts";

const { method } = GRPCInferenceService;

type Route = Pick<ApiRoute, "path" | "also" | "operation" | "about">;

function change(route: Route, fields: Fields, answer: keyof typeof KSERVE_ANSWERS = "Done"): ApiRoute {
  const about = { method: "post", rules: [], error: KSERVE_ERROR, streams: false } as const;
  return { ...about, ...route, fields, answer: kserveSchema(answer) };
}

function show(route: Route, answer: ApiSchema): ApiRoute {
  return { method: "get", rules: [], error: KSERVE_ERROR, streams: false, fields: undefined, ...route, answer };
}

const checkLoad = compileCheck(LOAD_FIELDS);
const checkSystemRegion = compileCheck(SYSTEM_REGION_FIELDS);
const checkCudaRegion = compileCheck(CUDA_REGION_FIELDS);
const checkNothing = compileCheck({});

const DONE = "{}";

/** Models and adapters that come and go. */
const REPOSITORY: readonly Operation[] = [
  createOperation({
    name: "v2_repository",
    api: change(
      { path: "/v2/repository/models/{model}/load", operation: "loadModel", about: "Loads a model or an adapter." },
      LOAD_FIELDS,
      "ModelLoaded",
    ),
    method: method.repositoryModelLoad,
    ask: ({ parts, body }) => ({ modelName: parts.model ?? "", parameters: readParameters(body) }),
    print: (_, { parts }) => JSON.stringify({ name: parts.model, load: true }),
  }),
  createOperation({
    name: "v2_repository",
    api: change(
      { path: "/v2/repository/models/{model}/unload", operation: "unloadModel", about: "Unloads one." },
      LOAD_FIELDS,
      "ModelLoaded",
    ),
    method: method.repositoryModelUnload,
    ask: ({ parts, body }) => ({ modelName: parts.model ?? "", parameters: readParameters(body) }),
    print: (_, { parts }) => JSON.stringify({ name: parts.model, unload: true }),
  }),
];

function readParameters(body: unknown): Record<string, MessageInitShape<typeof ModelRepositoryParameterSchema>> {
  const said = Object.entries(checkLoad(body).body.parameters ?? {});
  return Object.fromEntries(said.map(([name, value]) => [name, { parameterChoice: readParameter(name, value) }]));
}

function readParameter(
  name: string,
  value: boolean | number | string,
): MessageInitShape<typeof ModelRepositoryParameterSchema>["parameterChoice"] {
  if (typeof value === "boolean") return { case: "boolParam", value };
  if (typeof value === "number") return { case: "int64Param", value: BigInt(value) };
  if (!name.startsWith("file:")) return { case: "stringParam", value };
  return { case: "bytesParam", value: readBase64(`parameters.${name.slice(0, 64)}`, value) };
}

function readBase64(field: string, text: string): Uint8Array {
  if (/^[\w+/-]*={0,2}$/.test(text)) return Buffer.from(text, "base64");
  throw new StatorError("INVALID_FIELD", { field, detail: "must be base64" }, { param: field });
}

/** The paths that show all regions of a kind, or one. */
function regionPaths(kind: "system" | "cuda", verb: "status" | "unregister"): Pick<ApiRoute, "path" | "also"> {
  return { path: `/v2/${kind}sharedmemory/${verb}`, also: [`/v2/${kind}sharedmemory/region/{region}/${verb}`] };
}

/** Memory that callers and server share. */
const SHARED_MEMORY: readonly Operation[] = [
  createOperation({
    name: "v2_shared_memory",
    api: show(
      { ...regionPaths("system", "status"), operation: "systemRegions", about: "Regions of system shared memory." },
      { ...kserveSchema("SystemRegions"), list: true },
    ),
    method: method.systemSharedMemoryStatus,
    ask: ({ parts }) => ({ name: parts.region ?? "" }),
    print: ({ regions }) =>
      `[${Object.values(regions)
        .map((region) => printMessage(SystemSharedMemoryStatusResponse_RegionStatusSchema, region))
        .join(",")}]`,
  }),
  createOperation({
    name: "v2_shared_memory",
    api: change(
      {
        path: "/v2/systemsharedmemory/region/{region}/register",
        operation: "registerSystemRegion",
        about: "Makes a region of a memory object known by a name.",
      },
      SYSTEM_REGION_FIELDS,
    ),
    method: method.systemSharedMemoryRegister,
    ask({ parts, body }) {
      const { key, offset, byte_size: byteSize } = checkSystemRegion(body).body;
      return { name: parts.region ?? "", key, offset: BigInt(offset ?? 0), byteSize: BigInt(byteSize) };
    },
    print: () => DONE,
  }),
  createOperation({
    name: "v2_shared_memory",
    api: change(
      {
        ...regionPaths("system", "unregister"),
        operation: "unregisterSystemRegion",
        about: "Forgets a region, or all.",
      },
      {},
    ),
    method: method.systemSharedMemoryUnregister,
    ask({ parts, body }) {
      checkNothing(body);
      return { name: parts.region ?? "" };
    },
    print: () => DONE,
  }),
  createOperation({
    name: "v2_shared_memory",
    api: show(
      { ...regionPaths("cuda", "status"), operation: "cudaRegions", about: "Regions of the memory of GPUs." },
      { ...kserveSchema("CudaRegions"), list: true },
    ),
    method: method.cudaSharedMemoryStatus,
    ask: ({ parts }) => ({ name: parts.region ?? "" }),
    print: ({ regions }) =>
      `[${Object.values(regions)
        .map((region) => printMessage(CudaSharedMemoryStatusResponse_RegionStatusSchema, region))
        .join(",")}]`,
  }),
  createOperation({
    name: "v2_shared_memory",
    api: change(
      {
        path: "/v2/cudasharedmemory/region/{region}/register",
        operation: "registerCudaRegion",
        about: "Makes a region of a GPU's memory known by a name.",
      },
      CUDA_REGION_FIELDS,
    ),
    method: method.cudaSharedMemoryRegister,
    ask({ parts, body }) {
      const { raw_handle: handle, device_id: deviceId, byte_size: byteSize } = checkCudaRegion(body).body;
      const rawHandle = readBase64("raw_handle.b64", handle.b64);
      return { name: parts.region ?? "", rawHandle, deviceId: BigInt(deviceId), byteSize: BigInt(byteSize) };
    },
    print: () => DONE,
  }),
  createOperation({
    name: "v2_shared_memory",
    api: change(
      { ...regionPaths("cuda", "unregister"), operation: "unregisterCudaRegion", about: "Forgets one, or all." },
      {},
    ),
    method: method.cudaSharedMemoryUnregister,
    ask({ parts, body }) {
      checkNothing(body);
      return { name: parts.region ?? "" };
    },
    print: () => DONE,
  }),
];

const tracePaths = { path: "/v2/trace/setting", also: ["/v2/models/{model}/trace/setting"] };
const settings = kserveSchema("Settings");

/** What may be turned while the process runs. */
const SETTINGS: readonly Operation[] = [
  createOperation({
    name: "v2_settings",
    api: show(
      { ...tracePaths, operation: "traceSetting", about: "How requests are traced." },
      { ...settings, open: true },
    ),
    method: method.traceSetting,
    ask: ({ parts }) => ({ modelName: parts.model ?? "" }),
    print: printTrace,
  }),
  createOperation({
    name: "v2_settings",
    api: change(
      { ...tracePaths, operation: "changeTraceSetting", about: "Changes how requests are traced." },
      {},
      "Settings",
    ),
    method: method.traceSetting,
    ask: ({ parts, body }) => ({
      modelName: parts.model ?? "",
      settings: Object.fromEntries(settingsOf(body).map(([name, value]) => [name, readTrace(name, value)])),
    }),
    print: printTrace,
  }),
  createOperation({
    name: "v2_settings",
    api: show({ path: "/v2/logging", operation: "logSettings", about: "What is logged." }, { ...settings, open: true }),
    method: method.logSettings,
    ask: () => ({}),
    print: printLog,
  }),
  createOperation({
    name: "v2_settings",
    api: change(
      { path: "/v2/logging", operation: "changeLogSettings", about: "Changes what is logged." },
      {},
      "Settings",
    ),
    method: method.logSettings,
    ask: ({ body }) => ({
      settings: Object.fromEntries(settingsOf(body).map(([name, value]) => [name, readLog(name, value)])),
    }),
    print: printLog,
  }),
];

/** Settings that one request may change. */
const MOST_SETTINGS = 64;

/** Names and values of a body. Which names there are is for the method to say. */
function settingsOf(body: unknown): [string, unknown][] {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new StatorError("INVALID_FIELD", { field: "The body", detail: "must be an object" });
  }
  const entries = Object.entries(body);
  if (entries.length <= MOST_SETTINGS) return entries;
  const detail = `has ${entries.length} settings, and at most ${MOST_SETTINGS} are taken`;
  throw new StatorError("INVALID_FIELD", { field: "The body", detail });
}

function wrongSetting(name: string, wanted: string): StatorError {
  const field = name.slice(0, 64);
  return new StatorError("INVALID_FIELD", { field, detail: `must be ${wanted}` }, { param: field });
}

/** One text or several; null clears a setting. */
function readTrace(name: string, said: unknown): MessageInitShape<typeof TraceSettingRequest_SettingValueSchema> {
  if (said === null) return { value: [] };
  const values: unknown[] = Array.isArray(said) ? said : [said];
  return {
    value: values.map((value) => {
      if (typeof value === "string" || typeof value === "number") return String(value);
      throw wrongSetting(name, "text, or a list of texts");
    }),
  };
}

/** Levels are a list whatever their number; of the others each has one value. */
function printTrace({ settings: all }: TraceSettingResponse): string {
  const entries = Object.entries(all).map(([name, { value }]) => {
    return [name, name === "trace_level" || value.length !== 1 ? value : value[0]];
  });
  return JSON.stringify(Object.fromEntries(entries));
}

function readLog(name: string, value: unknown): MessageInitShape<typeof LogSettingsRequest_SettingValueSchema> {
  if (typeof value === "boolean") return { parameterChoice: { case: "boolParam", value } };
  if (typeof value === "string") return { parameterChoice: { case: "stringParam", value } };
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xff_ff_ff_ff) {
    return { parameterChoice: { case: "uint32Param", value } };
  }
  throw wrongSetting(name, "true or false, text, or a whole number");
}

function printLog({ settings: all }: LogSettingsResponse): string {
  const entries = Object.entries(all).map(([name, { parameterChoice }]) => [name, parameterChoice.value]);
  return JSON.stringify(Object.fromEntries(entries));
}

/** What operators may do: it changes the server, or tells of its inside. */
export const OPERATOR_OPERATIONS: readonly Operation[] = [...REPOSITORY, ...SHARED_MEMORY, ...SETTINGS];
