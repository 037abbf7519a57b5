import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  LogSettingsRequest,
  LogSettingsResponseSchema,
  TraceSettingRequest,
  TraceSettingResponseSchema,
} from "#gen/inference/settings_pb";
import { StatorError } from "#lib/base/errors";
import type { LogDial } from "#lib/host/log";
import { createSharedMemoryCalls, type SharedMemoryCalls } from "#lib/shared/shared-memory-calls";
import type { SharedRegions } from "#lib/shared/shared-regions";
import { logSettings } from "./log-settings.ts";
import { createRepositoryCalls, type RepositoryCalls, type RepositoryParts } from "./repository.ts";
import { type TraceSettings, traceSetting } from "./trace-settings.ts";

/** What the operators' methods of the inference service are carried out with. All of it is borrowed. */
export interface OperatorParts extends RepositoryParts {
  /** Those of this process. */
  readonly regions: SharedRegions;
  /** Of this process's log; undefined where the log belongs to the program around. */
  readonly logDial: LogDial | undefined;
  /** Of this process's traces. */
  readonly traces: TraceSettings;
  /** Throws MODEL_NOT_FOUND for a name that nobody serves. */
  readonly knows: (model: string) => void;
}

/** Settings of a process. */
interface SettingsCalls {
  /** As `traceSetting`. */
  traceSetting(
    request: Pick<TraceSettingRequest, "settings" | "modelName">,
  ): MessageInitShape<typeof TraceSettingResponseSchema>;
  /** As `logSettings`. FEATURE_DISABLED where the log is not this process's own. */
  logSettings(request: Pick<LogSettingsRequest, "settings">): MessageInitShape<typeof LogSettingsResponseSchema>;
}

/** The methods of GRPCInferenceService that are the operators', by name: handlers of its port, and plain functions for any other. */
export type OperatorCalls = SharedMemoryCalls & RepositoryCalls & SettingsCalls;

/** Extensions of the protocol that they are, by the names that servers tell. */
export const OPERATOR_EXTENSIONS: readonly string[] = ["system_shared_memory", "trace", "logging"];

/** Makes them. */
export function createOperatorCalls(parts: OperatorParts): OperatorCalls {
  const { regions, logDial, traces, knows } = parts;
  return {
    ...createSharedMemoryCalls(regions),
    ...createRepositoryCalls(parts),
    traceSetting: (request) => traceSetting(request, traces, knows),
    logSettings(request) {
      if (logDial) return logSettings(request, logDial);
      const detail = "the log belongs to the program that this process is part of";
      throw new StatorError("FEATURE_DISABLED", { feature: "Turning the log", detail });
    },
  };
}
