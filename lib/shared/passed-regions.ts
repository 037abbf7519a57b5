import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { ModelInferRequest, ModelInferResponse } from "#gen/inference/infer_pb";
import type { GRPCInferenceService } from "#gen/inference/service_pb";
import { createParameter, SHARED_MEMORY } from "#lib/api/kserve/parameters";
import { printId } from "#lib/base/bytes";
import type { Chance } from "#lib/base/chance";
import { BoundedCache } from "#lib/base/collections";
import { asStatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import type { Client } from "#lib/rpc/client";
import type { Region } from "./region.ts";
import type { HeldPart, RegionHold } from "./region-hold.ts";
import type { SharedRegions } from "./shared-regions.ts";

/** A worker that requests are passed on to, as far as regions go. */
export interface RegionPeer {
  /** Stays the same as long as the worker's registrations do, such as its instance and incarnation. */
  readonly key: string;
  /** Calls to it. */
  readonly client: Pick<
    Client<typeof GRPCInferenceService>,
    "systemSharedMemoryRegister" | "systemSharedMemoryUnregister"
  >;
}

/** One request that names regions, on its way to a worker. */
export interface RegionUse {
  /** What is sent in place of the request. */
  readonly request: ModelInferRequest;
  /** What is told in place of an answer of the worker; one after the other. Throws as `RegionHold.place`. */
  answer(response: ModelInferResponse): Promise<ModelInferResponse>;
  /**
   * The request has ended; once is enough. `refused` says that the worker refused it: it may have forgotten the regions,
   * and is told of them again before the next request.
   */
  release(refused?: boolean): void;
}

/** What regions are passed on with. */
export interface PassedRegionsOptions {
  /** Those of this process. Borrowed. */
  readonly regions: SharedRegions;
  /** Of names that no other process gives. */
  readonly chance: Chance;
  /** Told at debug of workers that take no regions. */
  readonly log: Log;
}

/** How long a worker may take for one of these calls. */
const CALL_MS = 2_000;
/** Workers that are remembered. */
const MOST_PEERS = 1024;
const PROBE_BYTES = 8;

/** A region as workers know it. */
interface Passed {
  /** Its name there: no other registration of any process has it. */
  readonly name: string;
  /** Whether each worker has it, by the worker's key. */
  readonly peers: Map<string, Taker>;
}

/** A worker that was told of a region. */
interface Taker {
  readonly peer: RegionPeer;
  /** Whether it has it. */
  readonly taken: Promise<boolean>;
  /** It may have forgotten it and is told again. */
  isDoubtful: boolean;
}

/**
 * Passes the regions of this process on to workers that see the same memory objects, so that requests to these carry names
 * in place of bytes. A worker proves it: it finds an object that was made for it alone. For every other worker inputs are
 * copied into the request here, and outputs out of the answer. A worker keeps a region until the last request that uses
 * it has ended here, whatever is unregistered meanwhile.
 */
export class PassedRegions {
  readonly #options: PassedRegionsOptions;
  readonly #scope: Scope;
  readonly #prefix: string;
  readonly #passed = new Map<Region, Passed>();
  readonly #sharing = new BoundedCache<string, Promise<boolean>>(MOST_PEERS);
  readonly #unsubscribe: () => void;
  #count = 0;

  constructor(options: PassedRegionsOptions) {
    this.#options = options;
    this.#scope = new Scope("regions", options.log);
    this.#prefix = `stator-${printId(options.chance.id())}`;
    this.#unsubscribe = options.regions.onClose((region) => this.#forget(region));
  }

  /**
   * Makes a request ready for a worker; undefined when it names no region. Whoever gets it releases it, also when the
   * client left meanwhile. Throws as `SharedRegions.hold` and `RegionHold.fill`.
   */
  async enter(request: ModelInferRequest, peer: RegionPeer): Promise<RegionUse | undefined> {
    const hold = this.#options.regions.hold(request);
    if (!hold) return undefined;
    try {
      const names = await this.#passAll(hold, peer);
      if (names) return this.#byName(request, { hold, names, peer });
      const filled = await hold.fill(request);
      return { request: filled, answer: (response) => hold.place(response), release: () => hold.release() };
    } catch (error) {
      hold.release();
      throw error;
    }
  }

  /** Takes back what workers have of regions that are closed, and waits for it. */
  close(): Promise<void> {
    this.#unsubscribe();
    for (const region of [...this.#passed.keys()]) this.#forget(region);
    return this.#scope.close();
  }

  #byName(
    request: ModelInferRequest,
    { hold, names, peer }: { hold: RegionHold; names: ReadonlyMap<Region, string>; peer: RegionPeer },
  ): RegionUse {
    const back = new Map([...names].map(([region, name]) => [name, region.description.name]));
    const { inputs, outputs } = hold.tensors;
    const nameOf = (part: HeldPart | undefined) => part && names.get(part.region);
    return {
      request: {
        ...request,
        inputs: request.inputs.map((input, at) => renamed(input, nameOf(inputs[at]))),
        outputs: request.outputs.map((output, at) => renamed(output, nameOf(outputs[at]))),
      },
      answer: async (response) => ({
        ...response,
        outputs: response.outputs.map((output) => renamed(output, back.get(regionOf(output)))),
      }),
      release: (refused = false) => {
        if (refused) for (const region of names.keys()) this.#doubt(region, peer);
        hold.release();
      },
    };
  }

  /** The names of all regions of a request at a worker; undefined when it does not have all of them. */
  async #passAll({ tensors }: RegionHold, peer: RegionPeer): Promise<ReadonlyMap<Region, string> | undefined> {
    const parts = [...tensors.inputs, ...tensors.outputs].filter((part) => part !== undefined);
    const regions = [...new Set(parts.map(({ region }) => region))];
    if (!(await this.#shares(peer))) return undefined;
    const taken = await Promise.all(regions.map((region) => this.#pass(region, peer)));
    if (taken.includes(false)) return undefined;
    return new Map(regions.map((region) => [region, this.#of(region).name]));
  }

  #of(region: Region): Passed {
    const known = this.#passed.get(region);
    if (known) return known;
    const passed = { name: `${this.#prefix}-${++this.#count}`, peers: new Map() };
    this.#passed.set(region, passed);
    return passed;
  }

  #pass(region: Region, peer: RegionPeer): Promise<boolean> {
    const { name, peers } = this.#of(region);
    const known = peers.get(peer.key);
    if (known && !known.isDoubtful) return known.taken;
    // Whoever took the key since is not whom the client meant.
    if (!this.#options.regions.isInPlace(region)) return Promise.resolve(false);
    const { key, offsetBytes, lengthBytes } = region.description;
    const taken = this.#ask(
      peer,
      () => peers.delete(peer.key),
      async () => {
        const request = { name, key, offset: BigInt(offsetBytes), byteSize: BigInt(lengthBytes) };
        await peer.client.systemSharedMemoryRegister(request, { timeoutMs: CALL_MS });
      },
    );
    peers.set(peer.key, { peer, taken, isDoubtful: false });
    return taken;
  }

  #doubt(region: Region, peer: RegionPeer): void {
    const taker = this.#passed.get(region)?.peers.get(peer.key);
    if (taker) taker.isDoubtful = true;
  }

  /** Whether a worker finds a memory object that nobody else has. */
  #shares(peer: RegionPeer): Promise<boolean> {
    const known = this.#sharing.get(peer.key);
    if (known) return known;
    const name = `${this.#prefix}-probe-${++this.#count}`;
    const file = path.join(this.#options.regions.folder, name);
    const shares = this.#ask(
      peer,
      () => void this.#sharing.delete(peer.key),
      async () => {
        try {
          writeFileSync(file, new Uint8Array(PROBE_BYTES), { flag: "wx", mode: 0o600 });
          const request = { name, key: `/${name}`, offset: 0n, byteSize: BigInt(PROBE_BYTES) };
          await peer.client.systemSharedMemoryRegister(request, { timeoutMs: CALL_MS });
        } finally {
          rmSync(file, { force: true });
        }
        await peer.client.systemSharedMemoryUnregister({ name }, { timeoutMs: CALL_MS });
      },
    );
    this.#sharing.set(peer.key, shares, 1);
    return shares;
  }

  /** False for what a worker refuses. What could not be asked is asked again the next time: then `again` is called. */
  async #ask(peer: RegionPeer, again: () => void, call: () => Promise<void>): Promise<boolean> {
    try {
      await call();
      return true;
    } catch (caught) {
      const error = asStatorError(caught);
      // The name is this region's alone, so the worker has not forgotten it.
      if (error.reason === "ALREADY_EXISTS") return true;
      if (error.reason === "UNAVAILABLE" || error.reason === "DEADLINE") again();
      this.#options.log.debug("worker takes no region", { worker: peer.key, error });
      return false;
    }
  }

  #forget(region: Region): void {
    const passed = this.#passed.get(region);
    if (!passed) return;
    this.#passed.delete(region);
    const { name, peers } = passed;
    for (const { peer, taken } of peers.values()) {
      this.#scope.spawn("unregister", async () => {
        if (!(await taken)) return;
        // A worker that cannot be reached any more has forgotten it, or will with its end.
        await peer.client.systemSharedMemoryUnregister({ name }, { timeoutMs: CALL_MS }).catch((error: unknown) => {
          this.#options.log.debug("worker kept a region", { worker: peer.key, error });
        });
      });
    }
  }
}

type Parameters = ModelInferRequest["parameters"];

/** A tensor that names its region by another name; the same one without a name. */
function renamed<Tensor extends { parameters: Parameters }>(tensor: Tensor, name: string | undefined): Tensor {
  if (name === undefined) return tensor;
  return { ...tensor, parameters: { ...tensor.parameters, [SHARED_MEMORY.region]: createParameter(name) } };
}

function regionOf({ parameters }: { readonly parameters: Parameters }): string {
  const choice = parameters[SHARED_MEMORY.region]?.parameterChoice;
  return choice?.case === "stringParam" ? choice.value : "";
}
