import { expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { EchoService } from "../../test/conformance/rpc/echo.ts";
import { Lab } from "../../test/conformance/rpc/lab.ts";
import { DirectTransport } from "./direct.ts";
import { RPC_INSTRUMENTS } from "./metrics.ts";
import { pathOf } from "./service.ts";

test("a call begins, ends and is timed by the clock that was given", async () => {
  const clock = new FakeClock();
  const metrics = createMetrics([RPC_INSTRUMENTS], { processMetrics: false });
  const lab = new Lab();
  const transport = new DirectTransport([lab.service], { clock, log: silentLog, metrics });
  const { link } = EchoService.method;
  const channel = transport.open(link, { timeoutMs: 2_000 });
  const ends: (string | undefined)[] = [];
  channel.receive({ onMessage() {}, onEnd: (error) => ends.push(error?.reason) });
  expect(lab.links).toHaveLength(0);
  clock.advance(1_999);
  expect([lab.links.length, lab.last.deadlineUnixMs, ends]).toEqual([1, 1_800_000_002_000, []]);
  clock.advance(1);
  expect([ends, transport.openCalls, clock.pending]).toEqual([["DEADLINE"], 0, 0]);
  expect(await metrics.print()).toContain(`stator_rpc_call_seconds_sum{method="${pathOf(link)}"} 2\n`);
});
