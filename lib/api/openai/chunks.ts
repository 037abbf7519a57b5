import { inOneLine, printEvent } from "../sse.ts";

/** The rare parts of a chunk, already printed as JSON. */
export interface ChunkExtras {
  /** The choice's first chunk carries the role. */
  readonly first?: boolean;
  /** OpenAI's word, such as stop; undefined while the choice goes on. */
  readonly finish?: string;
  /** Of the tokens whose text it brings; undefined where nobody asked. */
  readonly logprobs?: string;
  /** Usage so far, for continuous_usage_stats. */
  readonly usage?: string;
  /** The object `stator`. */
  readonly explain?: string;
}

/** Prints the events of one streamed answer. Only the text of a delta is escaped; the rest was printed once. */
export interface ChunkPrinter {
  /** The usual event: text and nothing else. */
  delta(choice: number, text: string): string;
  /** An event with something rare in it. */
  event(choice: number, text: string, extras: ChunkExtras): string;
  /** The event before the last: usage, and no choices. */
  usage(usage: string): string;
}

/** What every chunk of one answer repeats. */
export interface ChunkHead {
  /** Of the answer: `chatcmpl-…` or `cmpl-…`. */
  readonly id: string;
  /** When the request was taken. */
  readonly createdUnixSeconds: number;
  /** The name that the request gave, an alias or an adapter as well. */
  readonly model: string;
  /** Whether a usage chunk will come: the others then carry null. */
  readonly includeUsage: boolean;
}

function printHead(object: string, { id, createdUnixSeconds, model }: ChunkHead): string {
  return `{"id":${JSON.stringify(id)},"object":"${object}","created":${createdUnixSeconds},"model":${JSON.stringify(model)},"choices":[`;
}

/** What follows the choices of a chunk. */
function printTail(head: ChunkHead, extras: ChunkExtras): string {
  const usage = extras.usage ? `,"usage":${extras.usage}` : head.includeUsage ? ',"usage":null' : "";
  return `]${usage}${extras.explain ? `,"stator":${extras.explain}` : ""}}`;
}

const NOTHING: ChunkExtras = {};

/** Chunks of POST /v1/chat/completions. */
export function createChatChunks(head: ChunkHead): ChunkPrinter {
  const opening = inOneLine(printHead("chat.completion.chunk", head));
  const start = `data: ${opening}{"index":`;
  const middle = ',"delta":{"content":';
  const end = `},"finish_reason":null}${printTail(head, NOTHING)}\n\n`;
  return {
    delta: (choice, text) => start + choice + middle + inOneLine(JSON.stringify(text)) + end,
    event(choice, text, extras) {
      // A delta without text is empty: only the first says "", so that the message has a content.
      const content = text !== "" || extras.first ? `"content":${JSON.stringify(text)}` : "";
      const delta = extras.first ? `"role":"assistant",${content}` : content;
      const logprobs = extras.logprobs ? `,"logprobs":${extras.logprobs}` : "";
      const finish = extras.finish ? `"${extras.finish}"` : "null";
      const body = `{"index":${choice},"delta":{${delta}}${logprobs},"finish_reason":${finish}}`;
      return printEvent(opening + body + printTail(head, extras));
    },
    usage: (usage) => printEvent(`${opening}],"usage":${usage}}`),
  };
}

/** Chunks of POST /v1/completions. */
export function createCompletionChunks(head: ChunkHead): ChunkPrinter {
  const opening = inOneLine(printHead("text_completion", head));
  const start = `data: ${opening}{"index":`;
  const middle = ',"text":';
  const end = `,"logprobs":null,"finish_reason":null}${printTail(head, NOTHING)}\n\n`;
  return {
    delta: (choice, text) => start + choice + middle + inOneLine(JSON.stringify(text)) + end,
    event(choice, text, extras) {
      const finish = extras.finish ? `"${extras.finish}"` : "null";
      const body = `{"index":${choice},"text":${JSON.stringify(text)},"logprobs":${extras.logprobs ?? "null"},"finish_reason":${finish}}`;
      return printEvent(opening + body + printTail(head, extras));
    },
    usage: (usage) => printEvent(`${opening}],"usage":${usage}}`),
  };
}
