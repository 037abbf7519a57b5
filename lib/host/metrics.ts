import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { assert } from "#lib/base/errors";

/** One instrument of a room's table. Labels are closed sets; no instrument is touched per token. */
export interface Instrument {
  /** A counter only grows, a gauge is set, a histogram takes measurements. */
  readonly kind: "counter" | "gauge" | "histogram";
  /** One sentence for /metrics and the reference page. */
  readonly help: string;
  /** Names of the labels; each has a closed set of values. None unless given. */
  readonly labels?: readonly string[];
  /** Upper bounds, for a histogram. */
  readonly buckets?: readonly number[];
}

/** A room's instruments by their full name, such as stator_requests_total. */
export type Instruments = Readonly<Record<string, Instrument>>;

/** Label values by name. */
export type Labels = Readonly<Record<string, string>>;

/** What a process counts. Names that are not in a declared table are a bug and throw. */
export interface Metrics {
  /** Adds to a counter. */
  add(name: string, by?: number, labels?: Labels): void;
  /** Sets a gauge. */
  set(name: string, value: number, labels?: Labels): void;
  /** Observes into a histogram. */
  observe(name: string, value: number, labels?: Labels): void;
  /** Calls at every scrape, to copy cheap own counters into instruments. Returns what ends it. */
  onScrape(call: () => void): () => void;
  /** Prometheus text, version 0.0.4. */
  print(): Promise<string>;
}

/** Metrics over prom-client for these tables, joined. `processMetrics` adds the Node process's own. */
export function createMetrics(tables: readonly Instruments[], options: { processMetrics: boolean }): Metrics {
  const registry = new Registry();
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  const scrapes = new Set<() => void>();
  if (options.processMetrics) collectDefaultMetrics({ register: registry });
  for (const [name, instrument] of tables.flatMap((table) => Object.entries(table))) {
    const base = { name, help: instrument.help, labelNames: [...(instrument.labels ?? [])], registers: [registry] };
    if (instrument.kind === "counter") counters.set(name, new Counter(base));
    else if (instrument.kind === "gauge") gauges.set(name, new Gauge(base));
    else histograms.set(name, new Histogram({ ...base, buckets: [...(instrument.buckets ?? [])] }));
  }
  const declared = <Kind>(table: Map<string, Kind>, name: string): Kind => {
    const instrument = table.get(name);
    assert(instrument, `the instrument ${name} is declared`);
    return instrument;
  };
  return {
    add: (name, by = 1, labels = {}) => declared(counters, name).inc(labels, by),
    set: (name, value, labels = {}) => declared(gauges, name).set(labels, value),
    observe: (name, value, labels = {}) => declared(histograms, name).observe(labels, value),
    onScrape(call) {
      scrapes.add(call);
      return () => void scrapes.delete(call);
    },
    async print() {
      for (const call of scrapes) call();
      return registry.metrics();
    },
  };
}

/** Metrics that count nothing, for tests and tools. */
export const noMetrics: Metrics = {
  add() {},
  set() {},
  observe() {},
  onScrape: () => () => {},
  print: async () => "",
};
