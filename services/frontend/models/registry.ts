import type { ListedModel } from "#lib/api/openai/bodies";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import type { DiscoveryWatch } from "#lib/discovery/discovery";
import type { Log } from "#lib/host/log";
import type { Scope } from "#lib/host/scope";
import type { ModelText } from "../text/model-text.ts";
import type { Artifacts } from "./artifacts.ts";
import { type Catalog, type CatalogEntry, readCatalog, readSources, type TextSource } from "./catalog.ts";
import type { Models, ServedModel } from "./served.ts";

/** Opens a model's text from its verified artifacts. */
export type OpenModelText = (artifacts: {
  readonly tokenizer: Uint8Array;
  readonly tokenizerFormat: string;
  /** Jinja; undefined for a model without a chat template. */
  readonly template: string | undefined;
}) => Promise<ModelText>;

/** What a registry lives on. */
export interface RegistryOptions {
  /** Borrowed. */
  readonly watch: DiscoveryWatch;
  readonly artifacts: Artifacts;
  readonly openText: OpenModelText;
  /** Whether a worker was ever reached: a model of those that were not is not listed. Unless given, all were. */
  readonly isReached?: (worker: bigint) => boolean;
  readonly clock: Clock;
  readonly scope: Scope;
  readonly log: Log;
  /** Called when a text turns out to be one that can never be opened; returns whether it was told, else the log says it. */
  readonly onUnusable?: (error: StatorError) => boolean;
  /** For so long after its start a frontend that has met no worker expects one: any name may be that of its model. */
  readonly startMs?: number;
}

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 15_000;
const RETRY_AFTER_MS = 1000;
/** How long a name is known whose workers are all gone: as long as one takes to start again. */
const GONE_MS = 30_000;
/** Names known so; beyond, the first is forgotten. */
const GONE_NAMES = 1_024;

/** The text of one source while it is fetched, open, or waiting for another try. */
interface OpenText {
  source: TextSource;
  text: ModelText | undefined;
  failure: StatorError | undefined;
  retry: Timer | undefined;
  retryMs: number;
  closed: boolean;
}

/** A name that was served. */
interface GoneName {
  readonly sinceMs: number;
  readonly workers: readonly bigint[];
}

/** The models of this frontend: follows discovery, fetches and opens tokenizers, and finds what requests name. */
export class ModelRegistry implements Models {
  readonly #options: RegistryOptions;
  readonly #texts = new Map<string, OpenText>();
  readonly #unsubscribe: () => void;
  readonly #calls: (() => void)[] = [];
  /** Runs while the first worker is expected. */
  #start: Timer | undefined;
  #catalog: Catalog = { entries: new Map(), loading: [], present: new Set() };
  /** In the order in which they went. */
  readonly #gone = new Map<string, GoneName>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    const { clock, startMs = 0 } = options;
    if (startMs > 0) {
      this.#start = clock.after(startMs, () => {
        this.#start = undefined;
        this.#changed();
      });
    }
    this.#unsubscribe = options.watch.subscribe(() => this.#follow());
  }

  find(name: string): ServedModel {
    const entry = this.#catalog.entries.get(name);
    if (!entry) throw this.#notFound(name);
    const text = this.#textOf(entry);
    if (!text) throw this.#noText(entry);
    const { contextTokens, features, defaultSampling } = entry;
    return { name, contextTokens, features, defaultSampling, text };
  }

  list(): readonly ListedModel[] {
    const entries = [...this.#catalog.entries.values()].filter(({ workers }) => workers.some(this.#isReached));
    return entries
      .map(listEntry)
      .sort(
        (left, right) =>
          Number(left.parent !== undefined) - Number(right.parent !== undefined) || (left.id < right.id ? -1 : 1),
      );
  }

  routable(): readonly string[] {
    const names: string[] = [];
    for (const entry of this.#catalog.entries.values()) if (entry.ready && this.#textOf(entry)) names.push(entry.name);
    return names.sort();
  }

  onChange(call: () => void): void {
    this.#calls.push(call);
  }

  /** Closes every text; requests that still use one keep it until they end. */
  async close(): Promise<void> {
    this.#unsubscribe();
    this.#start?.cancel();
    await Promise.all([...this.#texts.values()].map((open) => this.#drop(open)));
  }

  readonly #isReached = (worker: bigint): boolean => this.#options.isReached?.(worker) ?? true;

  #textOf(entry: CatalogEntry): ModelText | undefined {
    return entry.source && this.#texts.get(entry.source.key)?.text;
  }

  #noText({ name, source }: CatalogEntry): StatorError {
    const detail = source ? this.#texts.get(source.key)?.failure?.message : "no worker of it offers one";
    if (detail) return new StatorError("UNAVAILABLE", { what: `The tokenizer of ${name}`, detail });
    return new StatorError("MODEL_LOADING", { model: name }, { retryAfterMs: RETRY_AFTER_MS });
  }

  #notFound(name: string): StatorError {
    const { entries, loading } = this.#catalog;
    // A worker names its models only when they are loaded: until then any name may be the one that is coming.
    const mayCome = loading.some(({ models }) => models.length === 0 || models.includes(name));
    if (mayCome || this.#start)
      return new StatorError("MODEL_LOADING", { model: name }, { retryAfterMs: RETRY_AFTER_MS });
    if (this.#isSoonBack(name)) return new StatorError("NO_WORKERS", { model: name }, { retryAfterMs: RETRY_AFTER_MS });
    const near = nearest(name, entries.keys());
    const hint = near ? ` Did you mean ${near}?` : entries.size > 0 ? " GET /v1/models lists what is served." : "";
    return new StatorError("MODEL_NOT_FOUND", { model: name, hint }, { param: "model" });
  }

  /**
   * Whether a name was served a moment ago by workers of which none is there now: they crashed, lost their leases, or
   * start again. A client that hears "not found" would give up.
   */
  #isSoonBack(name: string): boolean {
    const gone = this.#gone.get(name);
    if (!gone || this.#options.clock.nowMs() - gone.sinceMs > GONE_MS) return false;
    // Where one is still there, it does not serve the name any more.
    return !gone.workers.some((worker) => this.#catalog.present.has(worker));
  }

  #noteGone(before: Catalog): void {
    const sinceMs = this.#options.clock.nowMs();
    for (const name of this.#catalog.entries.keys()) this.#gone.delete(name);
    for (const { name, workers } of before.entries.values()) {
      if (!this.#catalog.entries.has(name)) this.#gone.set(name, { sinceMs, workers });
    }
    for (const [name, gone] of this.#gone) {
      if (this.#gone.size <= GONE_NAMES && sinceMs - gone.sinceMs <= GONE_MS) break;
      this.#gone.delete(name);
    }
  }

  #follow(): void {
    const before = this.#catalog;
    this.#catalog = readCatalog(this.#options.watch.records.values());
    this.#noteGone(before);
    if (this.#catalog.entries.size > 0 || this.#catalog.loading.length > 0) this.#endStart();
    const wanted = readSources(this.#catalog);
    for (const [key, open] of this.#texts)
      if (!wanted.has(key)) this.#options.scope.spawn("close text", () => this.#drop(open));
    for (const [key, source] of wanted) {
      const known = this.#texts.get(key);
      if (known) known.source = source;
      else this.#begin(source);
    }
    this.#changed();
  }

  #endStart(): void {
    this.#start?.cancel();
    this.#start = undefined;
  }

  #changed(): void {
    for (const call of this.#calls) call();
  }

  #begin(source: TextSource): void {
    const open: OpenText = {
      source,
      text: undefined,
      failure: undefined,
      retry: undefined,
      retryMs: FIRST_RETRY_MS,
      closed: false,
    };
    this.#texts.set(source.key, open);
    this.#options.scope.spawn("open text", () => this.#load(open));
  }

  async #load(open: OpenText): Promise<void> {
    const { artifacts, openText, log } = this.#options;
    const { tokenizer, template, holders } = open.source;
    let fetched = false;
    try {
      const [tokenizerBytes, templateBytes] = await Promise.all([
        artifacts.get(tokenizer.digest, holders),
        template && artifacts.get(template.digest, holders),
      ]);
      fetched = true;
      const text = await openText({
        tokenizer: tokenizerBytes,
        tokenizerFormat: tokenizer.format,
        template: templateBytes && new TextDecoder().decode(templateBytes),
      });
      if (open.closed) return void (await text.close());
      open.text = text;
      open.failure = undefined;
      log.info("model text is open", { source: open.source.key.slice(0, 16) });
      this.#changed();
    } catch (caught) {
      if (open.closed) return;
      this.#failed(open, asStatorError(caught), fetched);
      this.#changed();
    }
  }

  /** A text that could not be had is tried again; one whose bytes are no text never is, since they stay what they are. */
  #failed(open: OpenText, failure: StatorError, fetched: boolean): void {
    const { log, clock, scope, onUnusable } = this.#options;
    const source = open.source.key.slice(0, 16);
    const isNew = open.failure?.message !== failure.message;
    open.failure = failure;
    if (fetched && failure.row.retry === "never") {
      if (!onUnusable?.(failure)) log.error("model text cannot be opened", { source, error: failure });
      return;
    }
    const about = { source, error: failure, retryMs: open.retryMs };
    // Of workers that cannot be reached their own lines tell.
    const isNews = isNew && open.source.holders.some(({ instanceId }) => this.#isReached(instanceId));
    log[isNews ? "warn" : "debug"]("model text cannot be opened yet", about);
    open.retry = clock.after(open.retryMs, () => scope.spawn("open text", () => this.#load(open)));
    open.retryMs = Math.min(LAST_RETRY_MS, open.retryMs * 2);
  }

  async #drop(open: OpenText): Promise<void> {
    open.closed = true;
    open.retry?.cancel();
    this.#texts.delete(open.source.key);
    const { text } = open;
    open.text = undefined;
    await text?.close();
  }
}

function listEntry(entry: CatalogEntry): ListedModel {
  return {
    id: entry.name,
    createdUnixSeconds: entry.createdUnixSeconds,
    ownedBy: entry.ownedBy,
    contextTokens: entry.contextTokens,
    defaultSampling: entry.defaultSampling,
    deterministic: entry.deterministic,
    parent: entry.parent,
  };
}
