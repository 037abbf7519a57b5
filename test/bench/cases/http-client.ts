// Load for HTTP servers, in a process of its own: raw sockets that keep one request each in flight.
//   node http-client.ts; then {load} by IPC, {} to read the counters, {stop: true} to end the load.
import { connect, type Socket } from "node:net";

/** What the client is told to do. */
export interface HttpLoad {
  readonly port: number;
  readonly sockets: number;
  readonly path: string;
  /** Bodies that the sockets send in turn. */
  readonly bodies: readonly string[];
  /** A number in the body that is another one in each request. */
  readonly numbered?: string;
  /** The last bytes of an answer. */
  readonly ending: string;
  /** Milliseconds from one request of a socket to its next; 0 sends as soon as the answer is there. */
  readonly everyMs: number;
}

/** What the client counted. */
export interface HttpCount {
  readonly requests: number;
}

let requests = 0;
let sent = 0;
let sockets: Socket[] = [];

function open(load: HttpLoad, ending: Buffer): Socket {
  let sentMs = 0;
  const send = (): void => {
    const turn = sent++;
    const template = load.bodies[turn % load.bodies.length]!;
    const body = load.numbered ? template.replace(load.numbered, String(turn)) : template;
    sentMs = performance.now();
    socket.write(
      `POST ${load.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  };
  const socket = connect(load.port, "127.0.0.1", send);
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    // An answer ends with its last chunk; only the tail of what came can hold it.
    if (!chunk.subarray(-ending.length).equals(ending)) return;
    requests++;
    const waitMs = load.everyMs - (performance.now() - sentMs);
    if (waitMs > 0) setTimeout(send, waitMs);
    else send();
  });
  return socket;
}

process.on("message", ({ load, stop }: { load?: HttpLoad; stop?: boolean }) => {
  if (stop) for (const socket of sockets) socket.destroy();
  if (load) {
    const ending = Buffer.from(load.ending);
    sockets = [];
    // Spread over the interval, as independent clients are.
    for (let at = 0; at < load.sockets; at++) setTimeout(() => sockets.push(open(load, ending)), 2 * at);
  }
  process.send?.({ requests } satisfies HttpCount);
});
process.on("disconnect", () => process.exit());
process.send?.({});
