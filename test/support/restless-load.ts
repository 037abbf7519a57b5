import { type Chance, pick } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";

/** What is asked, and how restlessly. */
export interface RestlessOptions {
  /** Of the OpenAI API, such as 127.0.0.1:8000. */
  readonly address: string;
  /** Served name. */
  readonly model: string;
  /** Requests in all. */
  readonly requests: number;
  /** Requests under way at a time. */
  readonly atOnce: number;
  /** Draws prompts, lengths, who leaves and when. */
  readonly chance: Chance;
  /** Called before each request, with how many were begun. */
  readonly onRequest?: (begun: number) => void;
}

/** How requests ended; together they are all that were begun. */
export interface RestlessReport {
  /** Streams that came to their end. */
  answered: number;
  /** Streams that their clients left: before the first byte, or after some. */
  left: number;
  /** Requests that were refused or broken off, by the status or the reason that they were told. */
  readonly refused: Map<string, number>;
}

const WORDS = "the duck swims over a quiet pond while two old frogs sing about rain and green leaves fall".split(" ");
/** Texts that prompts begin with. */
const DOCUMENTS = 12;
const DOCUMENT_WORDS = 160;
const MOST_ANSWER = 48;
const MOST_MS_BEFORE_LEAVING = 60;

/**
 * Streams completions whose prompts begin as others do, and of which every third client leaves: at once, after a moment, or
 * after some chunks.
 */
export async function loadRestlessly(options: RestlessOptions): Promise<RestlessReport> {
  const { requests, atOnce, chance } = options;
  const documents = Array.from({ length: DOCUMENTS }, () => words(chance, DOCUMENT_WORDS));
  const report: RestlessReport = { answered: 0, left: 0, refused: new Map() };
  let begun = 0;
  const runner = async (): Promise<void> => {
    while (begun < requests) {
      options.onRequest?.(begun++);
      const document = documents[pick(chance, DOCUMENTS)]!;
      const prompt = [...document.slice(0, 1 + pick(chance, DOCUMENT_WORDS)), ...words(chance, pick(chance, 20))].join(
        " ",
      );
      const body = { model: options.model, prompt, max_tokens: 1 + pick(chance, MOST_ANSWER), stream: true };
      const leaves =
        pick(chance, 3) === 0
          ? { afterMs: pick(chance, MOST_MS_BEFORE_LEAVING), afterChunks: pick(chance, 4) }
          : undefined;
      count(report, await stream(options.address, body, leaves));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, runner));
  return report;
}

function words(chance: Chance, length: number): string[] {
  return Array.from({ length }, () => WORDS[pick(chance, WORDS.length)]!);
}

function count(report: RestlessReport, end: string): void {
  if (end === "answered" || end === "left") report[end]++;
  else report.refused.set(end, (report.refused.get(end) ?? 0) + 1);
}

/** How one stream ended. */
async function stream(
  address: string,
  body: object,
  leaves: { readonly afterMs: number; readonly afterChunks: number } | undefined,
): Promise<string> {
  const leaving = new AbortController();
  const leave = () => leaving.abort(new StatorError("CANCELLED"));
  // Without a chunk to wait for it leaves by the time.
  const timer = leaves?.afterChunks === 0 ? setTimeout(leave, leaves.afterMs) : undefined;
  try {
    const response = await fetch(`http://${address}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: leaving.signal,
    });
    if (!response.ok) return `status ${response.status}`;
    let chunks = 0;
    let text = "";
    for await (const chunk of response.body!) {
      text += Buffer.from(chunk).toString();
      if (leaves && leaves.afterChunks > 0 && ++chunks >= leaves.afterChunks) leave();
    }
    return text.includes("data: [DONE]") ? "answered" : (/"code":\s*"([^"]+)"/.exec(text)?.[1] ?? "broken off");
  } catch (error) {
    if (leaving.signal.aborted) return "left";
    return error instanceof Error ? error.message : String(error);
  } finally {
    clearTimeout(timer);
  }
}
