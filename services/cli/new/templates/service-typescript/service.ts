import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { openServices } from "stator/discovery";
import { WordService } from "./words_pb.ts";

/** Serves on a free port of this machine, and says so to those who meet at the URL, such as hub://127.0.0.1:8005. */
export async function serve(url: string) {
  const count = ({ value }: { value: string }) => ({ value: BigInt(value.split(/\s+/).filter(Boolean).length) });
  const server = http2.createServer(connectNodeAdapter({ routes: (router) => router.service(WordService, { count }) }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const services = await openServices(url);
  await services.announce({ services: [WordService], address });
  return {
    address,
    async close() {
      await services.close();
      server.close();
    },
  };
}

if (import.meta.main) {
  const { address, close } = await serve(process.argv[2] ?? "hub://127.0.0.1:8005");
  console.log(`${WordService.typeName} on ${address}. Ctrl-C ends it.`);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void close().then(() => process.exit()));
}
