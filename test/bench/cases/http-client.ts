// Load for HTTP servers, in a process of its own: raw sockets that keep one request each in flight.
//   node http-client.ts SEED; then {load} by IPC, {} to read the counters, {stop: true} to end the load.
import { connect, type Socket } from "node:net";
import { NaturalWriter } from "../natural-text.ts";
import { TextWriter } from "../text.ts";

/** What the client is told to do. */
export interface HttpLoad {
  readonly port: number;
  readonly sockets: number;
  readonly path: string;
  /** What every body holds beside its text. */
  readonly fields: object;
  /** Words of the one text of each request, which nobody has seen. */
  readonly words: number;
  /** UTF-16 units of natural prose instead of words. */
  readonly proseUnits?: number;
  /** Sends the text as `prompt`, and not as a message. */
  readonly asPrompt?: boolean;
  /** The last bytes of an answer. */
  readonly ending: string;
  /** Milliseconds from one request of a socket to its next; 0 sends as soon as the answer is there. */
  readonly everyMs: number;
}

/** What the client counted. */
export interface HttpCount {
  readonly requests: number;
  /** Pieces in which answers arrived. */
  readonly reads: number;
  /** Bytes of all answers. */
  readonly bytes: number;
  /** Answers that were no 200, and the first of them. A socket tries again a second later. */
  readonly refusals: number;
  readonly refused: string;
  /** The longest time between two pieces of one answer since the last count, in milliseconds. */
  readonly longestGapMs: number;
}

const seed = Number(process.argv[2] ?? 0);
const writer = new TextWriter(seed);
const prose = new NaturalWriter("prose", seed);
const count = { requests: 0, reads: 0, bytes: 0, refusals: 0, refused: "", longestGapMs: 0 };
const RETRY_MS = 1_000;
let sockets: Socket[] = [];

function open(load: HttpLoad, ending: Buffer): Socket {
  let sentMs = 0;
  let heardMs = 0;
  const send = (): void => {
    const content = load.proseUnits ? prose.units(load.proseUnits) : writer.words(load.words);
    const asked = load.asPrompt ? { prompt: content } : { messages: [{ role: "user", content }] };
    const body = JSON.stringify({ ...asked, ...load.fields });
    sentMs = performance.now();
    heardMs = 0;
    socket.write(
      `POST ${load.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  };
  const socket = connect(load.port, "127.0.0.1", send);
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    const nowMs = performance.now();
    if (heardMs > 0) count.longestGapMs = Math.max(count.longestGapMs, nowMs - heardMs);
    else if (!chunk.subarray(0, OK.length).equals(OK)) {
      count.refusals++;
      count.refused ||= chunk.toString("utf8", 0, 1_000);
      setTimeout(send, RETRY_MS);
      return;
    }
    heardMs = nowMs;
    count.reads++;
    count.bytes += chunk.length;
    // An answer ends with its last chunk; only the tail of what came can hold it.
    if (!chunk.subarray(-ending.length).equals(ending)) return;
    count.requests++;
    const waitMs = load.everyMs - (nowMs - sentMs);
    if (waitMs > 0) setTimeout(send, waitMs);
    else send();
  });
  return socket;
}

const OK = Buffer.from("HTTP/1.1 200");

process.on("message", ({ load, stop }: { load?: HttpLoad; stop?: boolean }) => {
  if (stop) for (const socket of sockets) socket.destroy();
  if (load) {
    const ending = Buffer.from(load.ending);
    sockets = [];
    // Spread over the interval, as independent clients are.
    for (let at = 0; at < load.sockets; at++) setTimeout(() => sockets.push(open(load, ending)), 2 * at);
  }
  process.send?.({ ...count } satisfies HttpCount);
  count.longestGapMs = 0;
});
process.on("disconnect", () => process.exit());
process.send?.({});
