import { createServer } from "node:net";

/** Linux takes ports of its own choice, for port 0 and for connections, from 32,768 on. */
const FIRST = 20_000;
const COUNT = 12_000;

/**
 * A port of 127.0.0.1 that was free a moment ago, and that nobody gets who leaves the choice to the system: who asks for it
 * a little later finds it free, unless another test drew the same.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
