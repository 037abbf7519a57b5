import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import type { AwayModel, ListedModel, ModelList } from "#lib/api/openai/bodies";
import { Backoff } from "#lib/base/backoff";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import { ANSWER_RANGES } from "#lib/base/sampling";
import type { ModelFacts, TextSource } from "#lib/discovery/model-facts";
import type { ModelView } from "#lib/discovery/model-view";
import { absent, loading, type NamedModel, type Models as NamedModels } from "#lib/discovery/models";
import type { Log } from "#lib/host/log";
import type { Scope } from "#lib/host/scope";
import type { ModelText } from "../text/model-text.ts";
import type { Artifacts } from "./artifacts.ts";
import type { Models, ServedModel } from "./served.ts";
import { takesTensors } from "./takes-tensors.ts";
import { WORKER_TEXT } from "./worker-text.ts";

/** Opens a model's text from its verified artifacts. */
export type OpenModelText = (artifacts: {
  readonly tokenizer: Uint8Array;
  readonly tokenizerFormat: string;
  /** Jinja; undefined for a model without a chat template. */
  readonly template: string | undefined;
  /** What is spelled like a control token in a message is one. */
  readonly markersInContent: boolean;
}) => Promise<ModelText>;

/** What a registry lives on. */
export interface RegistryOptions {
  /** Borrowed. */
  readonly view: ModelView;
  /** Where tokenizers and templates come from. */
  readonly artifacts: Artifacts;
  /** Opens a text; the registry closes it. */
  readonly openText: OpenModelText;
  /** Names that a request would be placed for now; unless given, those with a ready worker. */
  readonly placeable?: () => readonly string[];
  /** Whether a worker was ever reached: of those that were not their own lines of the log tell. Unless given, all were. */
  readonly isReached?: (worker: bigint) => boolean;
  /** For the waits before it tries again. */
  readonly clock: Clock;
  /** Owns what it does in the background. */
  readonly scope: Scope;
  /** Told of texts that are open, and of those that cannot be opened. */
  readonly log: Log;
  /** Called when a text turns out to be one that can never be opened; returns whether it was told, else the log says it. */
  readonly onUnusable?: (error: StatorError) => boolean;
}

const RETRY = { firstMs: 250, longestMs: 15_000 } as const;

/** The text of one source while it is fetched, open, or waiting for another try. */
interface OpenText {
  source: TextSource;
  text: ModelText | undefined;
  failure: StatorError | undefined;
  retry: Timer | undefined;
  readonly backoff: Backoff;
  closed: boolean;
}

const STATES: Readonly<Partial<Record<InstanceState, AwayModel["state"]>>> = {
  [InstanceState.LOADING]: "loading",
  [InstanceState.DRAINING]: "draining",
  [InstanceState.ASLEEP]: "asleep",
  [InstanceState.FAILED]: "failed",
};

/** The models of this frontend: follows discovery, fetches and opens tokenizers, and finds what requests name. */
export class ModelRegistry implements Models {
  readonly #options: RegistryOptions;
  readonly #texts = new Map<string, OpenText>();
  readonly #unsubscribe: () => void;
  readonly #calls: (() => void)[] = [];

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#unsubscribe = options.view.subscribe(() => this.#follow());
  }

  find(name: string): ServedModel {
    const named = this.#options.view.known(name);
    // Until a card says it, nobody knows what its text is.
    if (!named.facts) throw absent(named);
    if (named.facts.input === "tensor") throw takesTensors(name);
    const text = this.#textOf(named);
    if (!text) throw this.#noText(named);
    const { features, defaultSampling, input } = named.facts;
    // Where no worker says how long a request may be the engine measures it.
    const contextTokens = named.facts.contextTokens ?? ANSWER_RANGES.max_tokens.most;
    return { name, tokenizer: named.tokenizer, input, contextTokens, features, defaultSampling, text };
  }

  list(): ModelList {
    const listed: ListedModel[] = [];
    const away: AwayModel[] = [];
    const placeable = this.#placeable();
    for (const named of this.#options.view.models.names.values()) {
      const reason = this.#whyAway(named, placeable);
      if (reason) away.push({ id: named.name, ...reason, ...tensorsOf(named) });
      else if (named.facts) listed.push(listModel(named, named.facts));
    }
    listed.sort(
      (left, right) =>
        Number(left.parent !== undefined) - Number(right.parent !== undefined) || (left.id < right.id ? -1 : 1),
    );
    return { listed, away: away.sort((left, right) => (left.id < right.id ? -1 : 1)) };
  }

  routable(): readonly string[] {
    const names: string[] = [];
    const placeable = this.#placeable();
    for (const named of this.#options.view.models.names.values())
      if (!this.#whyAway(named, placeable)) names.push(named.name);
    return names.sort();
  }

  onChange(call: () => void): void {
    this.#calls.push(call);
  }

  /** Closes every text; requests that still use one keep it until they end. */
  async close(): Promise<void> {
    this.#unsubscribe();
    await Promise.all([...this.#texts.values()].map((open) => this.#drop(open)));
  }

  #placeable(): ReadonlySet<string> | undefined {
    const names = this.#options.placeable?.();
    return names && new Set(names);
  }

  /** Why no request would be answered for a name now; undefined where it would. */
  #whyAway(named: NamedModel, placeable: ReadonlySet<string> | undefined): Omit<AwayModel, "id"> | undefined {
    if (named.ready.size === 0) {
      if (named.prefill.size > 0) return { state: "loading", reason: "Only workers that compute prompts are there." };
      const { state, reason } = firstOf(named);
      return { state: STATES[state] ?? "loading", reason: reason || "Its workers take no requests now." };
    }
    if (named.facts?.input !== "tensor" && !this.#textOf(named)) {
      const failure = named.facts?.text && this.#texts.get(named.facts.text.key)?.failure;
      return { state: failure ? "failed" : "loading", reason: failure?.message ?? "Its tokenizer is not open yet." };
    }
    if (placeable && !placeable.has(named.name)) {
      return { state: "connecting", reason: "No worker of it can be reached from here." };
    }
    return undefined;
  }

  #textOf({ facts }: NamedModel): ModelText | undefined {
    if (facts?.input === "text") return WORKER_TEXT;
    return facts?.text && this.#texts.get(facts.text.key)?.text;
  }

  #noText({ name, facts }: NamedModel): StatorError {
    const detail = facts?.text ? this.#texts.get(facts.text.key)?.failure?.message : "no worker of it offers one";
    return detail ? new StatorError("UNAVAILABLE", { what: `The tokenizer of ${name}`, detail }) : loading(name);
  }

  #follow(): void {
    const wanted = readSources(this.#options.view.models);
    for (const [key, open] of this.#texts)
      if (!wanted.has(key)) this.#options.scope.spawn("close text", () => this.#drop(open));
    for (const [key, source] of wanted) {
      const known = this.#texts.get(key);
      if (known) known.source = source;
      else this.#begin(source);
    }
    this.#changed();
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
      backoff: new Backoff(RETRY),
      closed: false,
    };
    this.#texts.set(source.key, open);
    this.#options.scope.spawn("open text", () => this.#load(open));
  }

  async #load(open: OpenText): Promise<void> {
    const { artifacts, openText, log } = this.#options;
    const { tokenizer, template, markersInContent, holders } = open.source;
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
        markersInContent,
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
    const retryMs = open.backoff.nextMs();
    const about = { source, error: failure, retryMs };
    // Of workers that cannot be reached their own lines tell.
    const isReached = this.#options.isReached ?? (() => true);
    const isNews = isNew && open.source.holders.some(({ instanceId }) => isReached(instanceId));
    log[isNews ? "warn" : "debug"]("model text cannot be opened yet", about);
    open.retry = clock.after(retryMs, () => scope.spawn("open text", () => this.#load(open)));
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

function listModel({ name, parent }: NamedModel, facts: ModelFacts): ListedModel {
  const { createdUnixSeconds, ownedBy, contextTokens, defaultSampling, deterministic } = facts;
  const told = { id: name, createdUnixSeconds, ownedBy, contextTokens, defaultSampling, deterministic, parent };
  return { ...told, ...tensorsOf({ facts }) };
}

function tensorsOf({ facts }: Pick<NamedModel, "facts">): Pick<ListedModel, "tensors"> {
  return facts?.input === "tensor" ? { tensors: true } : {};
}

/** The worker that is nearest to serving a name of which none is ready. */
function firstOf({ workers }: NamedModel): InstanceRecord {
  const all = [...workers.values()];
  const first = all.find(({ state }) => state === InstanceState.LOADING) ?? all[0];
  assert(first, "a name is there because a worker names it");
  return first;
}

/** Every source that some name needs, by its key, with all instances that hold it. */
function readSources({ names }: NamedModels): Map<string, TextSource> {
  const sources = new Map<string, TextSource>();
  for (const { facts } of names.values()) {
    if (!facts?.text) continue;
    const known = sources.get(facts.text.key)?.holders ?? [];
    sources.set(facts.text.key, { ...facts.text, holders: [...new Set([...known, ...facts.text.holders])] });
  }
  return sources;
}
