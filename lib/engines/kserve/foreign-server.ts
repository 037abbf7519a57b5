import type { GRPCInferenceService } from "#gen/inference/service_pb";
import { asStatorError } from "#lib/base/errors";
import type { Client } from "#lib/rpc/client";
import { MOST_FOREIGN_MODELS } from "./options.ts";

/** A model as its server describes it. */
export interface ForeignModel {
  /** By which requests ask for it, there as here. */
  readonly name: string;
  /** What computes it, in the server's words; empty when it does not say. */
  readonly platform: string;
  /** A request may get any number of answers; false where the server has no configuration to tell. */
  readonly decoupled: boolean;
}

/** A foreign server at one moment. */
export interface ForeignView {
  /** Why nothing can be sent to it now, in one sentence; undefined when it is ready. */
  readonly reason: string | undefined;
  /** Those that answer, by name, each once; none while it is not ready. */
  readonly models: readonly ForeignModel[];
  /** Names beyond the bound, which are not served. */
  readonly left: number;
  /** What it is, in its own words; empty while it is not ready, and where it does not say. */
  readonly software: { readonly name: string; readonly version: string };
}

const NOBODY = { name: "", version: "" };

/** How a foreign server is looked at. */
export interface ForeignServerOptions {
  /** host:port, for sentences. */
  readonly address: string;
  /** Over a channel of the caller's, who closes it. */
  readonly client: Client<typeof GRPCInferenceService>;
  /** Names to serve: all of the server's index when there are none. */
  readonly names: readonly string[];
  /** Time for each call, in milliseconds. */
  readonly timeoutMs: number;
  /** Models at most; `MOST_FOREIGN_MODELS` unless given. */
  readonly mostModels?: number;
}

/**
 * A server that speaks the Open Inference Protocol and that somebody else runs. One look asks whether it is ready and which
 * of its models are. What a model is, is asked once, and anew when it has been away.
 */
export class ForeignServer {
  readonly #options: ForeignServerOptions;
  #known: ReadonlyMap<string, ForeignModel> = new Map();
  #software: ForeignView["software"] | undefined;

  constructor(options: ForeignServerOptions) {
    this.#options = options;
  }

  /** Looks once. Nothing is thrown: a server that cannot be reached is one that is not ready. */
  async look(): Promise<ForeignView> {
    const { address, names, mostModels = MOST_FOREIGN_MODELS } = this.#options;
    try {
      const { ready } = await this.#options.client.serverReady({}, this.#limit);
      if (!ready) return this.#away(`The server at ${address} says that it is not ready.`);
      const index = await this.#index();
      if (index === undefined && names.length === 0) {
        return this.#away(`The server at ${address} has no index of its models: name them with --kserve-models.`);
      }
      const wanted = index === undefined ? names : index.filter((name) => names.length === 0 || names.includes(name));
      const kept = wanted.slice(0, mostModels);
      const models: ForeignModel[] = [];
      for (const name of kept) {
        if (index === undefined && !(await this.#isReady(name))) continue;
        const model = this.#known.get(name) ?? (await this.#describe(name));
        if (model) models.push(model);
      }
      this.#known = new Map(models.map((model) => [model.name, model]));
      this.#software ??= await this.#nameSoftware();
      return { reason: undefined, models, left: wanted.length - kept.length, software: this.#software };
    } catch (caught) {
      return this.#away(`The server at ${address} does not answer: ${asStatorError(caught).message}`);
    }
  }

  get #limit() {
    return { timeoutMs: this.#options.timeoutMs };
  }

  #away(reason: string): ForeignView {
    this.#known = new Map();
    this.#software = undefined;
    return { reason, models: [], left: 0, software: NOBODY };
  }

  async #nameSoftware(): Promise<ForeignView["software"]> {
    try {
      const { name, version } = await this.#options.client.serverMetadata({}, this.#limit);
      return { name, version };
    } catch (caught) {
      return falseWhereRefused(caught) || NOBODY;
    }
  }

  /** Names of the models that answer; undefined where the server does not know the method. */
  async #index(): Promise<string[] | undefined> {
    try {
      const { models } = await this.#options.client.repositoryIndex({ ready: true }, this.#limit);
      // Asked for those that are ready, some servers leave the state out.
      const ready = models.filter(({ name, state }) => name !== "" && (state === "" || state === "READY"));
      return [...new Set(ready.map(({ name }) => name))].sort();
    } catch (caught) {
      return undefinedWhereUnknown(caught);
    }
  }

  async #isReady(name: string): Promise<boolean> {
    try {
      return (await this.#options.client.modelReady({ name }, this.#limit)).ready;
    } catch (caught) {
      // KServe's own server says of a model that it does not have that it was not found.
      return falseWhereRefused(caught);
    }
  }

  /** undefined for a model that the server does not describe: it may have gone meanwhile. */
  async #describe(name: string): Promise<ForeignModel | undefined> {
    const { client } = this.#options;
    try {
      const { platform } = await client.modelMetadata({ name }, this.#limit);
      return { name, platform, decoupled: await this.#isDecoupled(name) };
    } catch (caught) {
      return falseWhereRefused(caught) || undefined;
    }
  }

  async #isDecoupled(name: string): Promise<boolean> {
    try {
      const { config } = await this.#options.client.modelConfig({ name }, this.#limit);
      return config?.modelTransactionPolicy?.decoupled ?? false;
    } catch (caught) {
      return falseWhereRefused(caught);
    }
  }
}

/** gRPC codes of a server that is not there, or gives no answer: CANCELLED, DEADLINE_EXCEEDED and UNAVAILABLE. */
const GONE: readonly number[] = [1, 4, 14];

/** A server that answers with an error is there. Throws for one that is not. */
function falseWhereRefused(caught: unknown): false {
  if (GONE.includes(asStatorError(caught).row.grpc)) throw caught;
  return false;
}

/** The core of the protocol has fewer methods than Triton: one that is missing is no fault. Throws everything else. */
function undefinedWhereUnknown(caught: unknown): undefined {
  if (asStatorError(caught).row.grpc !== GRPC_UNIMPLEMENTED) throw caught;
}

const GRPC_UNIMPLEMENTED = 12;

/** Whether two views say the same. */
export function sameView(one: ForeignView, other: ForeignView): boolean {
  return (
    one.reason === other.reason &&
    one.left === other.left &&
    one.software.name === other.software.name &&
    one.software.version === other.software.version &&
    one.models.length === other.models.length &&
    one.models.every((model, at) => {
      const beside = other.models[at];
      return model.name === beside?.name && model.platform === beside.platform && model.decoupled === beside.decoupled;
    })
  );
}
