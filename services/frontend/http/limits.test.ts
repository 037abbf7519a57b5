import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal, rehearsalRecords } from "../../../test/support/rehearsal/open.ts";

const opened: Rehearsal[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const { frontend } of opened.splice(0)) await frontend.close({ drainMs: 0 });
});

async function open(options: Parameters<typeof openRehearsal>[1]): Promise<Rehearsal> {
  const dispatcher = new RehearsalDispatcher({ running: true, reply: () => ({ tokens: encodeBytes("abc") }) });
  const rehearsal = await openRehearsal(dispatcher, options);
  opened.push(rehearsal);
  return rehearsal;
}

function dial({ frontend }: Rehearsal): Socket {
  const socket = connect(frontend.port, "127.0.0.1").on("error", () => {});
  sockets.push(socket.resume());
  return socket;
}

/** Asks for /live on an open connection and waits for the answer. */
async function ask(socket: Socket): Promise<string> {
  const answer = once(socket, "data") as Promise<[Buffer]>;
  socket.write("GET /live HTTP/1.1\r\nhost: a\r\n\r\n");
  return (await answer)[0].toString();
}

it("a connection beyond the bound is closed at once, and those that are open go on", async () => {
  const rehearsal = await open({ limits: { connections: 2 } });
  const first = dial(rehearsal);
  const second = dial(rehearsal);
  for (const socket of [first, second]) expect(await ask(socket)).toContain("200 OK");
  await once(dial(rehearsal), "close");
  expect(await ask(first)).toContain("200 OK");
  first.destroy();
  // A place is free when the server has seen the end.
  while (!(await rehearsal.metrics.print()).includes("stator_frontend_connections 1")) await new Promise(setImmediate);
  expect(await ask(dial(rehearsal))).toContain("200 OK");
});

it("a connection that is idle after an answer is closed when the bound is over", async () => {
  const rehearsal = await open({ limits: { keepAliveMs: 20 } });
  const socket = dial(rehearsal);
  expect(await ask(socket)).toContain("200 OK");
  await once(socket, "close");
});

it("artifacts beyond the bound are fetched again when they are needed again, and smaller ones are not", async () => {
  for (const [artifactBytes, expected] of [
    [5, 2],
    [1_000, 1],
  ] as const) {
    // biome-ignore format: a case a line
    let fetches = 0;
    const rehearsal = await open({ limits: { artifactBytes }, onFetch: () => fetches++ });
    const records = rehearsalRecords("rehearsal");
    rehearsal.watch.remove(...records.map(({ key }) => key));
    while (rehearsal.frontend.routable().length > 0) await new Promise(setImmediate);
    rehearsal.watch.put(...records);
    while (rehearsal.frontend.routable().length === 0) await new Promise(setImmediate);
    expect(fetches).toBe(expected);
  }
});
