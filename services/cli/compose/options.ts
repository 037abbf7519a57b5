import { keysOf, type Options } from "#lib/base/option";
import { DISCOVERY_OPTIONS, HUB_OPTIONS, SCOPE_OPTIONS } from "#lib/discovery/options";
import { KSERVE_OPTIONS } from "#lib/engines/kserve/options";
import { LLAMA_OPTIONS } from "#lib/engines/llama/llama-options";
import { MOCK_OPTIONS } from "#lib/engines/mock/mock-options";
import { MODULE_OPTIONS } from "#lib/engines/module/options";
import { OPENENGINE_OPTIONS } from "#lib/engines/openengine/options";
import { ENGINE_OPTIONS } from "#lib/engines/options";
import { LOG_OPTIONS, MACHINE_OPTIONS, METRICS_OPTIONS, TRACE_OPTIONS } from "#lib/host/options";
import { LINK_OPTIONS } from "#lib/link/options";
import { ROUTING_OPTIONS } from "#lib/routing/options";
import { RPC_OPTIONS, TLS_OPTIONS } from "#lib/rpc/options";
import { SERVING_OPTIONS } from "#lib/serving/options";
import { SHARED_OPTIONS } from "#lib/shared/options";
import { TRANSFER_OPTIONS } from "#lib/transfer/options";
import { HTTP_OPTIONS, INFERENCE_OPTIONS, TEXT_OPTIONS } from "#services/frontend/options";
import { TENSOR_OPTIONS } from "#services/worker/inference/options";
import { WORKER_OPTIONS } from "#services/worker/options";
import { CONTRACT_OPTIONS } from "../contract/contract-options.ts";
import { PROGRAM_OPTIONS } from "../options.ts";
import { REPLAY_OPTIONS } from "../replay/replay-options.ts";

/** Every option of every command, by its key: the tables of the rooms, joined. No two of them have the same key. */
export const OPTIONS = {
  ...PROGRAM_OPTIONS,
  ...REPLAY_OPTIONS,
  ...CONTRACT_OPTIONS,
  ...ENGINE_OPTIONS,
  ...WORKER_OPTIONS,
  ...HTTP_OPTIONS,
  ...INFERENCE_OPTIONS,
  ...RPC_OPTIONS,
  ...METRICS_OPTIONS,
  ...DISCOVERY_OPTIONS,
  ...HUB_OPTIONS,
  ...TLS_OPTIONS,
  ...ROUTING_OPTIONS,
  ...SCOPE_OPTIONS,
  ...SERVING_OPTIONS,
  ...LINK_OPTIONS,
  ...TEXT_OPTIONS,
  ...SHARED_OPTIONS,
  ...TRANSFER_OPTIONS,
  ...LLAMA_OPTIONS,
  ...MACHINE_OPTIONS,
  ...MOCK_OPTIONS,
  ...TENSOR_OPTIONS,
  ...KSERVE_OPTIONS,
  ...OPENENGINE_OPTIONS,
  ...MODULE_OPTIONS,
  ...LOG_OPTIONS,
  ...TRACE_OPTIONS,
} as const satisfies Options;

/** Keys of the table. */
export type OptionKey = keyof typeof OPTIONS;

/** What an engine reads, of any kind, and the worker around it. */
export const ENGINE_KEYS: readonly OptionKey[] = [
  "model",
  "model-name",
  ...keysOf(ENGINE_OPTIONS),
  ...keysOf(WORKER_OPTIONS),
  ...keysOf(LLAMA_OPTIONS),
  ...keysOf(MOCK_OPTIONS),
  ...keysOf(TRANSFER_OPTIONS),
  ...keysOf(TENSOR_OPTIONS),
  ...keysOf(KSERVE_OPTIONS),
  ...keysOf(OPENENGINE_OPTIONS),
  ...keysOf(MODULE_OPTIONS),
];

/** What the front door reads. */
export const FRONT_DOOR_KEYS: readonly OptionKey[] = [
  ...keysOf(HTTP_OPTIONS),
  ...keysOf(INFERENCE_OPTIONS),
  ...keysOf(ROUTING_OPTIONS),
  ...keysOf(SCOPE_OPTIONS),
  ...keysOf(SERVING_OPTIONS),
  ...keysOf(LINK_OPTIONS),
  ...keysOf(TEXT_OPTIONS),
  // For workers that answer openengine.v1 alone, each of which says its model itself.
  ...keysOf(OPENENGINE_OPTIONS).filter((key) => key !== "openengine.model"),
];

/** How gRPC ports prove themselves. */
export const TLS_KEYS: readonly OptionKey[] = keysOf(TLS_OPTIONS);

/** What bounds the memory that workers of tensors and frontends share with clients. */
export const MEMORY_KEYS: readonly OptionKey[] = keysOf(SHARED_OPTIONS);
