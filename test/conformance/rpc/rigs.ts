import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { Access } from "#gen/stator/common/v1/common_pb";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createConnectHandler } from "#lib/rpc/connect";
import { type Credentials, loopbackCredentials } from "#lib/rpc/credentials";
import { DirectTransport } from "#lib/rpc/direct";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { openServer } from "#lib/rpc/server";
import { ConnectTransport } from "./connect-transport.ts";
import type { Lab } from "./lab.ts";
import type { Rig } from "./suite.ts";

/** Instruments and a log for one rig. */
export function observed() {
  return { clock: systemClock, log: silentLog, metrics: createMetrics([RPC_INSTRUMENTS], { processMetrics: false }) };
}

/** gRPC on a port of its own. */
export async function openGrpcRig(lab: Lab, credentials: Credentials = loopbackCredentials): Promise<Rig> {
  const server = await openServer({ host: "127.0.0.1", port: 0, credentials, services: [lab.service], ...observed() });
  const transport = new Channel(server.address, credentials, systemClock);
  return {
    transport,
    drain: (timeoutMs) => server.drain(timeoutMs),
    async close() {
      transport.close();
      await server.close();
    },
  };
}

/** The same process. */
export async function openDirectRig(lab: Lab): Promise<Rig> {
  const transport = new DirectTransport([lab.service], observed());
  return { transport, drain: (timeoutMs) => transport.drain(timeoutMs), close: () => transport.close() };
}

/** A public HTTP/2 port, called with one of the protocols that the Connect binding speaks. */
export function connectRig(protocol: "connect" | "grpc-web" | "grpc") {
  return async (lab: Lab): Promise<Rig> => {
    const handler = createConnectHandler({ services: [lab.service], allow: [Access.PUBLIC], ...observed() });
    const server = createServer({ settings: { initialWindowSize: 65_535 } }, handler);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const transport = new ConnectTransport(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, protocol);
    return {
      transport,
      async close() {
        transport.close();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  };
}
