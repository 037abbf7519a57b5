import { afterEach, expect, it } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock as clock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials as credentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { createService } from "#lib/rpc/service";
import type { DuplexChannel } from "#lib/rpc/stream";
import { ForwardRig } from "../../../test/support/forward-rig.ts";
import { countLargeBuffers } from "../../../test/support/large-buffers.ts";
import { inferBytes, openTensorServer } from "../../../test/support/tensor-server.ts";

const PAYLOAD_BYTES = 8 * 1024 * 1024;
const closes: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close();
});

/** A port that forwards what comes. */
async function openFrontendPort(rig: ForwardRig): Promise<string> {
  const bytes = (channel: DuplexChannel<Uint8Array, Uint8Array>): void => {
    channel.receive({
      onMessage(request) {
        const client = rig.infer(request);
        client.end.then(
          (error) => {
            for (const answer of client.answers) channel.send(answer);
            channel.end(error);
          },
          () => {},
        );
      },
      onEnd() {},
    });
  };
  const service = createService(GRPCInferenceService, { modelInfer: { bytes } }, { access: Access.PUBLIC });
  const observed = { clock, log: silentLog, metrics: noMetrics };
  const server = await openServer({ host: "127.0.0.1", port: 0, credentials, services: [service], ...observed });
  closes.push(() => server.close());
  return server.address;
}

/** Large buffers of one call there, both ways and at all ends. */
async function buffersOf(address: string, request: Uint8Array): Promise<number> {
  const channel = new Channel(address, credentials, clock);
  closes.push(() => channel.close());
  const call = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const duplex = channel.openBytes(GRPCInferenceService.method.modelInfer);
      let answered = 0;
      duplex.receive({
        onMessage(answer) {
          answered = answer.byteLength;
        },
        onEnd: (error) => (error ? reject(error) : resolve(answered)),
      });
      duplex.send(request);
      duplex.end();
    });
  const counted = countLargeBuffers(PAYLOAD_BYTES / 2);
  closes.push(() => counted.close());
  expect(await call()).toBe(PAYLOAD_BYTES);
  counted.close();
  return counted.count;
}

it("copies a payload twice in each direction: when it is put together of its pieces, and when it is framed", async () => {
  const answer = Buffer.alloc(PAYLOAD_BYTES, 3);
  const server = await openTensorServer(({ channel }) => {
    channel.send(answer);
    channel.end();
  });
  closes.push(() => server.kill());
  const rig = new ForwardRig();
  closes.push(() => rig.close());
  await rig.add(1n, server.address);
  const frontend = await openFrontendPort(rig);
  const request = inferBytes({ rawInputContents: [Buffer.alloc(PAYLOAD_BYTES, 1)] });
  const direct = await buffersOf(server.address, request);
  const forwarded = await buffersOf(frontend, request);
  // The caller and the worker do the same at their ends.
  expect(direct).toBeGreaterThanOrEqual(4);
  expect(forwarded - direct, `${forwarded} by way of the frontend, ${direct} without`).toBeLessThanOrEqual(4);
  expect(forwarded).toBeGreaterThan(direct);
});
