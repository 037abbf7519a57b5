import { type Labels, type Metrics, noMetrics } from "#lib/host/metrics";

/** What one process counts, to be looked at. */
export class Meter {
  readonly metrics: Metrics;
  readonly #values = new Map<string, number>();
  readonly #scrapes = new Set<() => void>();

  constructor() {
    this.metrics = {
      ...noMetrics,
      add: (name, by = 1, labels) => {
        const key = keyOf(name, labels);
        this.#values.set(key, (this.#values.get(key) ?? 0) + by);
      },
      set: (name, value, labels) => void this.#values.set(keyOf(name, labels), value),
      onScrape: (call) => {
        this.#scrapes.add(call);
        return () => void this.#scrapes.delete(call);
      },
    };
  }

  /** A counter or a gauge as it is now, by its name and the values of its labels. */
  read(name: string): number {
    for (const scrape of this.#scrapes) scrape();
    return this.#values.get(name) ?? 0;
  }

  /** A counter by the values of its label. */
  counts(name: string): ReadonlyMap<string, number> {
    const start = `${name} `;
    const found = [...this.#values].filter(([key]) => key.startsWith(start));
    return new Map(found.map(([key, value]) => [key.slice(start.length), value]));
  }
}

function keyOf(name: string, labels: Labels = {}): string {
  return [name, ...Object.values(labels)].join(" ");
}
