import type {
  ModelRepositoryParameter,
  RepositoryModelLoadRequest,
  RepositoryModelUnloadRequest,
} from "#gen/inference/repository_pb";
import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import type { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { printId } from "#lib/base/bytes";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import type { ModelView } from "#lib/discovery/model-view";
import type { ServicePool } from "#lib/discovery/service-pool";
import type { Client } from "#lib/rpc/client";

/** What loads and unloads are carried out with. All of it is borrowed. */
export interface RepositoryParts {
  /** Who serves which names. */
  readonly view: Pick<ModelView, "models" | "subscribe">;
  /** The workers that take such orders. */
  readonly admins: Pick<ServicePool<typeof WorkerAdminService>, "instances" | "pick">;
  /** Of all waits. */
  readonly clock: Clock;
}

/** The calls that load and unload, by the names of the methods of GRPCInferenceService. */
export interface RepositoryCalls {
  /**
   * Loads an adapter on all workers of the model that it changes, and resolves when requests may name it. LOAD_REFUSED with
   * the reason otherwise: then no worker has it that did not have it before.
   */
  repositoryModelLoad(request: Fields<RepositoryModelLoadRequest>): Promise<{ modelName: string; isLoaded: true }>;
  /**
   * Unloads an adapter on all workers, and resolves when no request may name it and those that did have ended, or after a
   * minute. LOAD_REFUSED with the reason otherwise.
   */
  repositoryModelUnload(
    request: Fields<RepositoryModelUnloadRequest>,
  ): Promise<{ modelName: string; isUnloaded: true }>;
}

type Fields<Request> = Omit<Request, "$typeName" | "$unknown">;
type Verb = "load" | "unload";

/** One worker that tells of its adapters. */
interface Holder {
  readonly instance: InstanceRecord;
  readonly client: Client<typeof WorkerAdminService>;
  readonly baseModel: string;
  /** Whether each is loaded, by name. */
  readonly adapters: ReadonlyMap<string, boolean>;
}

/** How long a worker may take to tell what it has, to load and to unload. */
const ASK_MS = 5_000;
const LOAD_MS = 60_000;
/** How long the frontend waits to hear from discovery what workers have done. */
const SEEN_MS = 5_000;

/** Clients of Triton send it with every unload: nothing depends on an adapter, so either value is fine. */
const DEPENDENTS = "unload_dependents";
const BASE = "base_model";

/** The calls over the workers of a frontend. */
export function createRepositoryCalls(parts: RepositoryParts): RepositoryCalls {
  return {
    async repositoryModelLoad(request) {
      const modelName = nameOf("load", request, [BASE]);
      const holders = await findHolders("load", modelName, parts);
      const targets = targetsOf(modelName, readBase(modelName, request.parameters), holders);
      await loadAll(modelName, targets);
      await seen(parts, () => targets.every(({ instance }) => isReady(parts, modelName, instance.instanceId)));
      return { modelName, isLoaded: true };
    },
    async repositoryModelUnload(request) {
      const modelName = nameOf("unload", request, [DEPENDENTS]);
      const holders = await findHolders("unload", modelName, parts);
      const loaded = holders.filter(({ adapters }) => adapters.get(modelName));
      if (loaded.length === 0) throw refused("unload", modelName, "no worker has loaded an adapter of this name");
      await unloadAll(modelName, loaded);
      await seen(parts, () => !loaded.some(({ instance }) => isReady(parts, modelName, instance.instanceId)));
      return { modelName, isUnloaded: true };
    },
  };
}

function refused(verb: Verb, model: string, detail: string, cause?: unknown): StatorError {
  return new StatorError("LOAD_REFUSED", { verb, model: model.slice(0, 128), detail }, { cause });
}

/** Triton's clients name the model in the second field, KServe's in the first. */
function nameOf(
  verb: Verb,
  request: Fields<RepositoryModelLoadRequest | RepositoryModelUnloadRequest>,
  known: readonly string[],
): string {
  const { modelName, repositoryName, parameters } = request;
  const name = modelName || repositoryName;
  if (name === "") throw refused(verb, name, "the request names no model");
  if (modelName !== "" && repositoryName !== "") throw refused(verb, name, "there are no repositories to choose from");
  for (const key of Object.keys(parameters)) {
    if (known.includes(key)) continue;
    const near = nearest(key, known);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    throw refused(verb, name, `the parameter ${key.slice(0, 64)} is not known here${hint}`);
  }
  return name;
}

function readBase(name: string, parameters: Readonly<Record<string, ModelRepositoryParameter>>): string | undefined {
  if (!Object.hasOwn(parameters, BASE)) return undefined;
  const choice = parameters[BASE]?.parameterChoice;
  if (choice?.case === "stringParam" && choice.value !== "") return choice.value;
  throw refused("load", name, `the parameter ${BASE} is to be the name of a model`);
}

/** Asks all workers what adapters they have. One that has no adapters, or does not know the question, is none of them. */
async function findHolders(verb: Verb, name: string, { view, admins }: RepositoryParts): Promise<readonly Holder[]> {
  const served = view.models.names.get(name);
  if (served && served.parent === undefined) {
    const reason = "its workers have it as long as they run; adapters can be loaded and unloaded";
    throw refused(verb, name, reason);
  }
  const asked = admins.instances.map(async (instance) => {
    const { client } = admins.pick(instance.instanceId);
    try {
      const { adapters, baseModel } = await client.listAdapters({}, { timeoutMs: ASK_MS });
      return { instance, client, baseModel, adapters: new Map(adapters.map((each) => [each.name, each.loaded])) };
    } catch (caught) {
      const error = asStatorError(caught);
      if (error.reason === "FEATURE_DISABLED" || error.reason === "UNSUPPORTED_FEATURE") return undefined;
      throw atWorker(verb, name, instance, error);
    }
  });
  return (await Promise.all(asked)).filter((holder) => holder !== undefined);
}

/** The workers of the one model that some worker has an adapter of this name for. */
function targetsOf(name: string, base: string | undefined, holders: readonly Holder[]): readonly Holder[] {
  const having = holders.filter(({ adapters, baseModel }) => adapters.has(name) && (base ?? baseModel) === baseModel);
  const [model, ...others] = new Set(having.map(({ baseModel }) => baseModel));
  if (model === undefined) {
    const of = base === undefined ? "" : ` of ${base.slice(0, 128)}`;
    throw refused("load", name, `no worker${of} has a file of this name in its --adapter-folder`);
  }
  if (others.length > 0) {
    const models = [model, ...others].sort().join(", ");
    throw refused("load", name, `workers of ${models} have one: say which with the parameter ${BASE}`);
  }
  return holders.filter(({ baseModel }) => baseModel === model);
}

/** Loads on all or on none. */
async function loadAll(name: string, targets: readonly Holder[]): Promise<void> {
  const added: Holder[] = [];
  const failures: StatorError[] = [];
  await Promise.all(
    targets.map(async (target) => {
      try {
        const { alreadyLoaded } = await target.client.loadAdapter({ name }, { timeoutMs: LOAD_MS });
        if (!alreadyLoaded) added.push(target);
      } catch (caught) {
        failures.push(atWorker("load", name, target.instance, asStatorError(caught)));
      }
    }),
  );
  const [failure] = failures;
  if (!failure) return;
  // What this cannot take back stays loaded, and the next load finds it so.
  await Promise.allSettled(added.map(({ client }) => client.unloadAdapter({ name }, { timeoutMs: LOAD_MS })));
  throw failure;
}

async function unloadAll(name: string, loaded: readonly Holder[]): Promise<void> {
  await Promise.all(
    loaded.map(async ({ client, instance }) => {
      try {
        await client.unloadAdapter({ name }, { timeoutMs: LOAD_MS });
      } catch (caught) {
        const error = asStatorError(caught);
        // Its name is gone already, or at once; requests with it go on there.
        if (error.reason === "NOT_FOUND" || error.reason === "DEADLINE") return;
        throw atWorker("unload", name, instance, error);
      }
    }),
  );
}

function atWorker(verb: Verb, name: string, { instanceId }: InstanceRecord, error: StatorError): StatorError {
  return refused(verb, name, `worker ${printId(instanceId)} said: ${error.message.replace(/\.$/, "")}`, error);
}

function isReady({ view }: RepositoryParts, name: string, worker: bigint): boolean {
  return view.models.names.get(name)?.ready.has(worker) ?? false;
}

/** Waits until the view shows what workers have done; not for ever, since a worker may leave meanwhile. */
function seen({ view, clock }: RepositoryParts, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    let unsubscribe = (): void => {};
    const end = (): void => {
      timer.cancel();
      unsubscribe();
      resolve();
    };
    const timer = clock.after(SEEN_MS, end);
    let isOver = false;
    unsubscribe = view.subscribe(() => {
      if (isOver || !holds()) return;
      isOver = true;
      // The first call comes before there is anything to unsubscribe.
      clock.soon(end);
    });
  });
}
