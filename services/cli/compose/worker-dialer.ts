import type { InstanceRecord, ModelCard } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import type { ModelView } from "#lib/discovery/model-view";
import { workerContractOf } from "#lib/discovery/worker-contract";
import { readInput } from "#lib/discovery/worker-sets";
import type { Engine } from "#lib/engines/engine";
import { openOpenEngine } from "#lib/engines/openengine/openengine-engine";
import { readOpenEngineLimits } from "#lib/engines/openengine/options";
import { loadNative } from "#lib/native/addon";
import { Channel } from "#lib/rpc/channel";
import type { Transport } from "#lib/rpc/transport";
import { TokenHasher } from "#lib/tokens/block-hash";
import { NearWorkers } from "#lib/worker/near-workers";
import type { ProcessContext } from "../command.ts";
import type { ServiceProcess } from "./process.ts";

/** A way to the link of a worker and to the events of its cache, whatever it answers itself; may throw. */
export type DialWorker = (instance: InstanceRecord) => Transport;

/** By what workers are dialled. */
export interface DialerParts {
  /** Holds their cards. */
  readonly view: ModelView;
  /** Whether anybody goes by the events of their caches; asked when one is dialled. */
  hearsEvents(): boolean;
}

/**
 * Ways to workers: a session to one that answers the link, and to one that answers `openengine.v1` alone a near worker of
 * this process, around an adapter of its engine. The scope closes what is left of these.
 */
export function openWorkerDialer(
  context: ProcessContext,
  process: ServiceProcess,
  { view, hearsEvents }: DialerParts,
): DialWorker {
  const { credentials, clock, log, metrics } = process;
  const near = new NearWorkers({
    ...{ clock, log, metrics },
    hasher: loadNative().addon ?? new TokenHasher(),
    openEngine(instance, signal) {
      const cards = view.models.cards.get(instance.instanceId) ?? [];
      const card = onlyCard(instance, cards);
      return openForeign(context, process, { instance, card, hearsEvents: hearsEvents(), signal });
    },
  });
  context.scope.own("near workers", near);
  return (instance) =>
    workerContractOf(instance) === "openengine"
      ? near.dial(instance)
      : new Channel(instance.address, credentials, clock);
}

function onlyCard({ address }: InstanceRecord, cards: readonly ModelCard[]): ModelCard {
  const [card, ...more] = cards;
  if (card && more.length === 0) return card;
  const detail = card
    ? `it publishes ${cards.length} model cards, and each model without a link needs an instance of its own`
    : "it has published no model card";
  throw new StatorError("CONTRACT_MISMATCH", { what: `The worker at ${address}`, detail });
}

async function openForeign(
  { values }: ProcessContext,
  { credentials, clock, chance, log }: ServiceProcess,
  worker: {
    readonly instance: InstanceRecord;
    readonly card: ModelCard;
    readonly hearsEvents: boolean;
    readonly signal: AbortSignal;
  },
): Promise<Engine> {
  const { instance, card, hearsEvents, signal } = worker;
  const { address } = instance;
  const { name, contextTokens, routing } = card;
  return await openOpenEngine({
    transport: new Channel(address, credentials, clock, { messageBytes: values["grpc.message-bytes"] }),
    ...{ address, model: name, remoteModel: name, clock, chance, signal },
    log: log.with({ worker: instance.instanceId }),
    limits: readOpenEngineLimits(values),
    told: {
      input: readInput(card) === "text" ? "text" : "tokens",
      contextTokens: contextTokens || undefined,
      blocks: hearsEvents ? routing : undefined,
    },
    // Whoever calls asks again.
    waits: false,
  });
}
