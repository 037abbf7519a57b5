import { connect, createServer, type Socket } from "node:net";

/** The network between one process and the rest: a TCP proxy that can cut or swallow what passes. */
export interface Network {
  /** host:port */
  readonly host: string;
  /** Ends all connections and refuses new ones. */
  cut(): void;
  /** Keeps connections and lets nothing through: what a lost cable looks like. */
  swallow(): void;
  /** Lets everything through again; what was swallowed is lost, so connections that saw it are ended. */
  heal(): void;
  close(): Promise<void>;
}

/** Opens a network to a port of this machine. */
export async function openNetwork(target: string): Promise<Network> {
  let state: "open" | "cut" | "swallow" = "open";
  const sockets = new Set<Socket>();
  const endAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((near) => {
    if (state === "cut") {
      near.destroy();
      return;
    }
    const [host, port] = target.split(":");
    const far = connect(Number(port), host);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("data", (bytes) => void (state === "open" && to.write(bytes)));
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        if (state !== "swallow") to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || !address) throw new Error("no port");
  return {
    host: `127.0.0.1:${address.port}`,
    cut() {
      state = "cut";
      endAll();
    },
    swallow() {
      state = "swallow";
    },
    heal() {
      if (state === "swallow") endAll();
      state = "open";
    },
    close: () =>
      new Promise((resolve) => {
        endAll();
        server.close(() => resolve());
      }),
  };
}
