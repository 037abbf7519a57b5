import { expect, it } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { freePort } from "../../test/support/free-port.ts";
import { Channel, type SessionState } from "./channel.ts";
import { loopbackCredentials as credentials } from "./credentials.ts";
import { createHealth } from "./health.ts";
import { openServer } from "./server.ts";

it("tells of a session that cannot be made, stands, is lost and stands again, without a call", async () => {
  const port = await freePort();
  const observed = { clock: systemClock, log: silentLog, metrics: noMetrics };
  const services = [createHealth().service];
  const open = () => openServer({ host: "127.0.0.1", port, credentials, services, ...observed });
  const channel = new Channel(`127.0.0.1:${port}`, credentials, systemClock);
  const told: SessionState[] = [];
  let wake: (() => void) | undefined;
  const until = async (state: SessionState): Promise<void> => {
    while (told.at(-1) !== state) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  channel.watch((state) => {
    told.push(state);
    wake?.();
  });
  expect(told, "never from inside").toEqual([]);
  await until("failing");
  const first = await open();
  await until("ready");
  await first.close();
  await until("failing");
  const second = await open();
  await until("ready");
  const count = told.length;
  channel.close();
  await second.close();
  expect(told.length, "nothing after the close").toBe(count);
});
