// Load for HTTP servers, in a process of its own: raw sockets that keep one request each in flight.
//   node http-client.ts; then {port, sockets, kind, body, path} by IPC; answers {requests, tokens} when asked.
import { connect, type Socket } from "node:net";

/** What the client is told to do. */
export interface HttpLoad {
  readonly port: number;
  readonly sockets: number;
  readonly path: string;
  /** Bodies that the sockets send in turn. */
  readonly bodies: readonly string[];
  /** Pause of a socket between an answer and its next request. */
  readonly pauseMs?: number;
  /** The last bytes of an answer. */
  readonly ending: string;
}

let requests = 0;

function run(load: HttpLoad): void {
  const ending = Buffer.from(load.ending);
  let next = 0;
  const heads = load.bodies.map((body) =>
    Buffer.from(
      `POST ${load.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    ),
  );
  const send = (socket: Socket): void => {
    socket.write(heads[next++ % heads.length]!);
  };
  for (let at = 0; at < load.sockets; at++) {
    const socket = connect(load.port, "127.0.0.1", () => setTimeout(() => send(socket), at * 2));
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      // An answer ends with its last chunk; only the tail of what came can hold it.
      if (!chunk.subarray(-ending.length).equals(ending)) return;
      requests++;
      if (load.pauseMs) setTimeout(() => send(socket), load.pauseMs);
      else send(socket);
    });
  }
}

process.on("message", (message: { load?: HttpLoad }) => {
  if (message.load) run(message.load);
  process.send?.({ requests });
});
process.on("disconnect", () => process.exit());
