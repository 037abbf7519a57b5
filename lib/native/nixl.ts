import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { assert } from "#lib/base/errors";

/** What the addon knows of NIXL: numbers in place of objects. Throws and rejects with CLOSED after `close`. */
export interface NativeNixl {
  /** Lets others read a region of the mover; resolves with what they need for that, of all regions. */
  registerRegion(region: number): Promise<{ readonly registration: number; readonly metadata: Uint8Array }>;
  /** Before the region is closed. */
  unregisterRegion(registration: number): Promise<void>;
  /**
   * Gets to know the memory of a peer. Resolves with a source of the mover; rejects with INVALID_ARGUMENT where the metadata
   * are not those of another agent.
   */
  openPeer(metadata: Uint8Array, address: bigint, sizeBytes: number): Promise<number>;
  /** Sends a few bytes to whoever a source belongs to. Rejects with UNSUPPORTED where it is gone. */
  notify(source: number, content: Uint8Array): Promise<void>;
  /** Ends what is under way, as failed, and joins its thread. */
  close(): Promise<void>;
}

/** How the addon opens an agent. */
export interface NativeNixlOptions {
  /** Path or name of libnixl_capi.so. */
  readonly library: string;
  /** What others know the agent by, at most 64 bytes; no two agents anywhere may have the same one. */
  readonly name: string;
  /** The back end that moves bytes. */
  readonly backend: string;
  /** What the back end is told beside its defaults, as `ucx_devices`. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Bytes arrive in pieces of memory of this size, and are copied to their place from there. */
  readonly pieceBytes: number;
  /** So many pieces one peer may fill at a time. */
  readonly peerPieces: number;
  /** So many there may be: reads that do not end keep theirs. */
  readonly mostPieces: number;
}

/** Hears what a peer has sent by `notify`. */
export type NixlListener = (from: string, content: Uint8Array) => void;

/** What cannot be guessed when an agent is opened. */
export type NixlNames = Pick<NativeNixlOptions, "library" | "name">;

/** The rest, in which an agent does as NIXL_SETTINGS say unless it is told otherwise. */
export interface NixlSettings extends Omit<NativeNixlOptions, keyof NixlNames> {
  /** Called for each notice; without it none is looked for. */
  readonly onNotice: NixlListener;
}

/** How an agent is opened unless it is told otherwise. */
export const NIXL_SETTINGS: Omit<NixlSettings, "onNotice"> = {
  backend: "UCX",
  parameters: {},
  pieceBytes: 4 << 20,
  peerPieces: 4,
  mostPieces: 16,
};

/** The library and what it can do, or one sentence saying why it cannot be used. */
export type NixlProbe =
  | { readonly library: string; readonly plugins: readonly string[]; readonly unavailable?: undefined }
  | { readonly library?: undefined; readonly unavailable: string };

/** The part of the addon that looks at a library. */
export interface NixlProber {
  /**
   * The back ends that a libnixl_capi.so can load. The library stays open: some hundredths of a second for the first call.
   * Throws LIBRARY_MISSING where it cannot be opened, LIBRARY_MISMATCH where it is none of NIXL.
   */
  probeNixl(library: string): Promise<readonly string[]>;
}

const NAME = "libnixl_capi.so";

/** Where the library is installed by its own means, for each architecture. */
const FOLDERS = ["/opt/nvidia/nvda_nixl", "/usr/local/nixl"];

/** A folder in which Python keeps packages holds the library of a wheel in a folder of its own. */
function inPackages(folder: string): string[] {
  const found = existsSync(folder) ? readdirSync(folder).filter((each) => /^\.nixl.*\.libs$/.test(each)) : [];
  return found.map((each) => path.join(folder, each, NAME));
}

/**
 * The places where the library may lie, the likeliest first.
 * @param given the library itself, its folder, or a folder of Python packages: the only place then
 */
export function nixlPlaces(given?: string): readonly string[] {
  if (given !== undefined) {
    if (given.endsWith(".so")) return [given];
    return [path.join(given, NAME), ...inPackages(given)].filter(existsSync);
  }
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  const folders = FOLDERS.flatMap((each) => [`${each}/lib/${machine}-linux-gnu`, `${each}/lib64`, `${each}/lib`]);
  return [NAME, ...folders.map((each) => path.join(each, NAME)).filter(existsSync)];
}

/**
 * Looks for NIXL, and opens the first library that there is: blocks for some hundredths of a second. Says why there is none;
 * never rejects.
 * @param given as {@link nixlPlaces} takes it
 */
export async function probeNixl(addon: NixlProber, given?: string): Promise<NixlProbe> {
  let unavailable = `There is no ${NAME} in ${given}.`;
  for (const library of nixlPlaces(given)) {
    try {
      return { library, plugins: await addon.probeNixl(library) };
    } catch (error) {
      unavailable = error instanceof Error ? error.message : String(error);
    }
  }
  return { unavailable };
}

/** A region that others may read by NIXL. */
export interface NixlRegistration {
  /** Ends that. Before the region is closed, and not twice. */
  close(): Promise<void>;
}

/** Where memory of a peer is. */
export interface NixlPeer {
  /** What its agent tells others. */
  readonly metadata: Uint8Array;
  /** Where the region begins in its process. */
  readonly address: bigint;
  /** Size of the region. */
  readonly sizeBytes: number;
}

/** One agent of NIXL. What it opens is copied from by its mover, as all memory of others. */
export class Nixl<Memory extends object> {
  readonly #native: NativeNixl;
  readonly #wrap: (source: number, sizeBytes: number) => Memory;
  readonly #sources = new WeakMap<object, number>();
  #metadata: Uint8Array = new Uint8Array();

  /**
   * Takes an agent of the addon over.
   * @param wrap makes what the mover knows a source by
   */
  constructor(native: NativeNixl, wrap: (source: number, sizeBytes: number) => Memory) {
    this.#native = native;
    this.#wrap = wrap;
  }

  /** What others need for reading the regions that were registered last, some hundred bytes; empty before the first one. */
  get metadata(): Uint8Array {
    return this.#metadata;
  }

  /** Lets others read a region. For a network card it is pinned, which takes its time. Rejects with UNSUPPORTED. */
  async register(region: { readonly id: number }): Promise<NixlRegistration> {
    const { registration, metadata } = await this.#native.registerRegion(region.id);
    this.#metadata = metadata;
    return { close: () => this.#native.unregisterRegion(registration) };
  }

  /** Opens a region of a peer. Rejects with INVALID_ARGUMENT where its metadata are not those of another agent. */
  async openPeer({ metadata, address, sizeBytes }: NixlPeer): Promise<Memory> {
    const source = await this.#native.openPeer(metadata, address, sizeBytes);
    const memory = this.#wrap(source, sizeBytes);
    this.#sources.set(memory, source);
    return memory;
  }

  /** Sends a few bytes to the owner of a memory. Rejects with UNSUPPORTED where it is gone. */
  async notify(memory: object, content: Uint8Array): Promise<void> {
    const source = this.#sources.get(memory);
    assert(source !== undefined, "a notice goes to the owner of memory that this agent has opened");
    await this.#native.notify(source, content);
  }

  /** Ends what is under way, as failed. The mover closes it too. */
  close(): Promise<void> {
    return this.#native.close();
  }
}
