import { connect, createServer, type Socket } from "node:net";

/** The network between one process and the rest: a TCP proxy that can cut or swallow what passes. */
export interface Network {
  /** host:port */
  readonly host: string;
  /** Ends all connections and refuses new ones. */
  cut(): void;
  /** Keeps connections and lets nothing through: what a lost cable looks like. */
  swallow(): void;
  /** Lets new connections through; those that lost bytes stay dead without a word, as in a network that forgot them. */
  heal(): void;
  close(): Promise<void>;
}

/** Opens a network to a port of this machine. */
export async function openNetwork(target: string): Promise<Network> {
  let state: "open" | "cut" | "swallow" = "open";
  const links = new Set<Link>();
  const server = createServer((near) => {
    if (state === "cut") near.destroy();
    else links.add(join(near, target, { dead: state === "swallow", onClose: (link) => links.delete(link) }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || !address) throw new Error("no port");
  const endAll = () => {
    for (const link of links) link.end();
  };
  return {
    host: `127.0.0.1:${address.port}`,
    cut() {
      state = "cut";
      endAll();
    },
    swallow() {
      state = "swallow";
      for (const link of links) link.dead = true;
    },
    heal() {
      state = "open";
    },
    close: () =>
      new Promise((resolve) => {
        endAll();
        server.close(() => resolve());
      }),
  };
}

/** One connection on both sides of the proxy. */
interface Link {
  dead: boolean;
  end(): void;
}

function join(near: Socket, target: string, options: { dead: boolean; onClose: (link: Link) => void }): Link {
  const [host, port] = target.split(":");
  const far = connect(Number(port), host);
  const link: Link = {
    dead: options.dead,
    end() {
      near.destroy();
      far.destroy();
      options.onClose(link);
    },
  };
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    from.on("data", (bytes) => void (!link.dead && to.write(bytes)));
    from.on("error", () => {});
    from.on("close", () => void (!link.dead && link.end()));
  }
  return link;
}
