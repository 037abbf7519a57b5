import { type Chance, pick } from "#lib/base/chance";

/** One prompt and how it is answered. */
interface Story {
  readonly prompt: readonly number[];
  readonly max_tokens: number;
  readonly n: number;
  readonly seed: number;
  readonly temperature: number;
  readonly presence_penalty: number;
  readonly ignore_eos: boolean;
}

/** What was seen of one choice. */
interface Seen {
  text: string;
  finishes: string[];
}

/** What came of a load. */
export interface LegReport {
  /** Answers that were complete and equal to the undisturbed one. */
  answered: number;
  /** Those that were given up in the middle. */
  cancelled: number;
  /** Everything else, in words. */
  readonly failures: string[];
}

/** How a load asks. */
export interface LegLoadOptions {
  /** host:port of the frontends: they take turns. */
  readonly addresses: readonly string[];
  readonly chance: Chance;
  /** Different prompts. */
  readonly stories: number;
  readonly promptTokens: number;
  readonly answerTokens: number;
  /** Requests side by side. */
  readonly width: number;
}

/** One in so many is given up. */
const CANCELLED = 10;
const CANCEL_MS = 150;

/** Asks the same prompts again and again, each time with a salt of its own: nothing is cached, and the answer is known. */
export class LegLoad {
  readonly report: LegReport = { answered: 0, cancelled: 0, failures: [] };
  readonly #options: LegLoadOptions;
  readonly #stories: Story[];
  readonly #expected: string[] = [];
  #salts = 0;

  private constructor(options: LegLoadOptions) {
    this.#options = options;
    this.#stories = Array.from({ length: options.stories }, () => storyOf(options));
  }

  /** Asks everything once, undisturbed. */
  static async start(options: LegLoadOptions): Promise<LegLoad> {
    const load = new LegLoad(options);
    const asked = load.#stories.map((story, at) => load.#ask(story, at % 2 === 0, new AbortController().signal));
    load.#expected.push(...(await Promise.all(asked)));
    return load;
  }

  get ended(): number {
    const { answered, cancelled, failures } = this.report;
    return answered + cancelled + failures.length;
  }

  /** Asks so many more; `onEnd` hears of each end. */
  async run(count: number, onEnd: (ended: number) => void = () => {}): Promise<void> {
    let left = count;
    let ended = 0;
    const caller = async (): Promise<void> => {
      while (left-- > 0) {
        await this.#one();
        onEnd(++ended);
      }
    };
    await Promise.all(Array.from({ length: this.#options.width }, caller));
  }

  async #one(): Promise<void> {
    const { chance } = this.#options;
    const at = pick(chance, this.#stories.length);
    const abort = new AbortController();
    const timer =
      pick(chance, CANCELLED) === 0 ? setTimeout(() => abort.abort(), chance.next() * CANCEL_MS) : undefined;
    try {
      const found = await this.#ask(this.#stories[at]!, pick(chance, 2) === 0, abort.signal);
      if (found === this.#expected[at]) this.report.answered++;
      else this.report.failures.push(`another answer: ${found}\nwanted: ${this.#expected[at]}`);
    } catch (error) {
      if (abort.signal.aborted) this.report.cancelled++;
      else this.report.failures.push(String(error));
    } finally {
      clearTimeout(timer);
    }
  }

  async #ask(story: Story, isStreamed: boolean, signal: AbortSignal): Promise<string> {
    const body = { ...story, model: "stator-mock", cache_salt: `salt ${this.#salts++}`, stream: isStreamed };
    const { addresses } = this.#options;
    const response = await fetch(`http://${addresses[this.#salts % addresses.length]}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    const choices = isStreamed ? readEvents(text) : JSON.parse(text).choices;
    return print(choices, story.n);
  }
}

interface Piece {
  readonly index: number;
  readonly text: string;
  readonly finish_reason: string | null;
}

/** The pieces of a stream that has ended in order, once. */
function readEvents(text: string): Piece[] {
  // A stream that waits says so in comments.
  const events = text.split("\n\n").filter((event) => event !== "" && !event.startsWith(":"));
  if (events.pop() !== "data: [DONE]" || events.includes("data: [DONE]")) throw new Error(`no end: ${text}`);
  return events.flatMap((event) => {
    const { choices, error } = JSON.parse(event.replace(/^data: /, ""));
    if (error) throw new Error(`error in the stream: ${event}`);
    return choices;
  });
}

function print(pieces: readonly Piece[], count: number): string {
  const seen = Array.from({ length: count }, (): Seen => ({ text: "", finishes: [] }));
  for (const { index, text, finish_reason } of pieces) {
    seen[index]!.text += text;
    if (finish_reason !== null) seen[index]!.finishes.push(finish_reason);
  }
  return JSON.stringify(seen);
}

function storyOf({ chance, promptTokens, answerTokens }: LegLoadOptions): Story {
  const isDrawn = pick(chance, 2) === 0;
  return {
    prompt: Array.from({ length: 1 + pick(chance, promptTokens) }, () => 10 + pick(chance, 240)),
    max_tokens: 1 + pick(chance, answerTokens),
    n: pick(chance, 4) === 0 ? 3 : 1,
    seed: pick(chance, 1_000_000),
    temperature: isDrawn ? 1 : 0,
    presence_penalty: pick(chance, 6) === 0 ? 0.5 : 0,
    ignore_eos: pick(chance, 2) === 0,
  };
}
