import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
} from "#gen/stator/discovery/v1/discovery_pb";
import type { DiscoveryRecord, DiscoveryWatch } from "#lib/discovery/discovery";
import { ModelView } from "#lib/discovery/model-view";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { type Log, silentLog } from "#lib/host/log";
import { createMetrics, type Metrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import type { Dispatcher } from "#lib/serving/dispatcher";
import type { HttpDoor } from "#services/frontend/doors/door";
import { type Frontend, type FrontendOptions, openFrontend } from "#services/frontend/frontend";
import { FRONTEND_INSTRUMENTS } from "#services/frontend/instruments";
import type { FrontendLimits } from "#services/frontend/limits";
import type { BodyReader } from "#services/frontend/read/reader";
import type { ModelText } from "#services/frontend/text/model-text";
import { createByteText } from "./byte-text.ts";

const TOKENIZER = Buffer.from("the rehearsal tokenizer");

/** Its digest, in hex. */
export const REHEARSAL_TOKENIZER = createHash("sha256").update(TOKENIZER).digest("hex");

/** A view of discovery that a test changes by hand. */
export class RehearsalWatch implements DiscoveryWatch {
  readonly records = new Map<string, DiscoveryRecord>();
  readonly synced = true;
  readonly #subscribers = new Set<
    (change: { upserts: DiscoveryRecord[]; removed: string[]; synced: boolean }) => void
  >();

  subscribe(call: Parameters<DiscoveryWatch["subscribe"]>[0]): () => void {
    this.#subscribers.add(call);
    call({ upserts: [...this.records.values()], removed: [], synced: true });
    return () => void this.#subscribers.delete(call);
  }

  put(...records: DiscoveryRecord[]): void {
    for (const record of records) this.records.set(record.key, record);
    for (const call of this.#subscribers) call({ upserts: records, removed: [], synced: true });
  }

  remove(...keys: string[]): void {
    for (const key of keys) this.records.delete(key);
    for (const call of this.#subscribers) call({ upserts: [], removed: keys, synced: true });
  }

  async close(): Promise<void> {}
}

/** Records of a worker that serves one model. */
export function rehearsalRecords(
  name: string,
  options: {
    id?: bigint;
    state?: InstanceState;
    contextTokens?: number;
    loaded?: boolean;
    address?: string;
    promptLogprobs?: boolean;
  } = {},
): DiscoveryRecord[] {
  const { id = 1n, state = InstanceState.READY, contextTokens = 4096, loaded = true, address = "" } = options;
  const value = create(InstanceRecordSchema, {
    instanceId: id,
    incarnation: 1n,
    role: InstanceRole.WORKER,
    address,
    state,
    models: loaded ? [name] : [],
  });
  const instance: DiscoveryRecord = { key: instanceKey(id), value: { case: "instance", value } };
  if (!loaded) return [instance];
  const card = create(ModelCardSchema, {
    name,
    instanceId: id,
    contextTokens,
    createdUnixSeconds: 1_800_000_000n,
    ownedBy: "stator",
    capabilities: {
      ...{ generate: true, embed: true, grammar: true, logprobs: true, embeddingSize: 3, maxTopLogprobs: 20 },
      promptLogprobs: options.promptLogprobs ?? true,
    },
    artifacts: [{ kind: "tokenizer", format: "bytes", digest: Buffer.from(REHEARSAL_TOKENIZER, "hex") }],
  });
  return [instance, { key: modelKey(name, id), value: { case: "model", value: card } }];
}

/** An open frontend with the things that a test looks at. */
export interface Rehearsal {
  readonly frontend: Frontend;
  readonly watch: RehearsalWatch;
  readonly metrics: Metrics;
  readonly url: string;
}

/** Opens a frontend that serves the model `rehearsal` through this dispatcher. */
export async function openRehearsal(
  dispatcher: Dispatcher,
  options: {
    limits?: Partial<FrontendLimits>;
    doors?: readonly HttpDoor<unknown>[];
    log?: Log;
    text?: () => ModelText;
    corsOrigins?: string[];
    empty?: boolean;
    watch?: RehearsalWatch;
    reader?: BodyReader;
    /** Called when an artifact is fetched. */
    onFetch?: () => void;
    startMs?: number;
    tokenizer?: Uint8Array;
    openRpc?: FrontendOptions["openRpc"];
    inference?: FrontendOptions["inference"];
  } = {},
): Promise<Rehearsal> {
  const watch = options.watch ?? new RehearsalWatch();
  if (!options.empty && !options.watch) watch.put(...rehearsalRecords("rehearsal"));
  const metrics = createMetrics([FRONTEND_INSTRUMENTS], { processMetrics: false });
  const frontend = await openFrontend({
    host: "127.0.0.1",
    port: 0,
    limits: options.limits,
    doors: options.doors,
    corsOrigins: options.corsOrigins,
    // What a rehearsal serves is there from the start; a test of starting says how long it is expected.
    view: new ModelView({ watch, clock: systemClock, startMs: options.startMs }),
    dispatcher,
    ...{ reader: options.reader, openRpc: options.openRpc, inference: options.inference },
    fetchArtifact: async () => {
      options.onFetch?.();
      return options.tokenizer ?? TOKENIZER;
    },
    openText: async () => options.text?.() ?? createByteText(),
    version: "0.0.0",
    clock: systemClock,
    chance: systemChance,
    log: options.log ?? silentLog,
    metrics,
  });
  while (!options.empty && frontend.routable().length === 0) await new Promise(setImmediate);
  return { frontend, watch, metrics, url: `http://127.0.0.1:${frontend.port}` };
}
