import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { printOpenAiError } from "../doors/openai/error.ts";
import { Exchange } from "./exchange.ts";

/** An exchange over a socket that takes what a test says. */
function exchangeWith(backlogBytes: number) {
  const clock = new FakeClock();
  const response = Object.assign(new EventEmitter(), {
    writableLength: backlogBytes,
    destroyed: false,
    writeHead() {},
    write: () => false,
    end() {},
    destroy() {
      response.destroyed = true;
      response.emit("close");
    },
  });
  const request = { socket: { bytesWritten: 0 } } as IncomingMessage;
  const patience = { clock, slowMs: 1000 };
  const exchange = new Exchange({ request, response: response as unknown as ServerResponse }, "id", {
    patience,
    printError: printOpenAiError,
  });
  return { clock, response, exchange };
}

test("a stream's reader has its time, and a second more for each 4 KiB, however often it takes a little", () => {
  const { clock, response, exchange } = exchangeWith(8192);
  const heard: string[] = [];
  exchange.openEvents();
  exchange.whenDrained(
    () => heard.push("drained"),
    () => heard.push("cut"),
  );
  for (let second = 0; second < 2; second++) {
    clock.advance(1000);
    response.writableLength -= 1;
    expect(heard).toEqual([]);
  }
  clock.advance(1000);
  expect(heard).toEqual(["cut"]);
  expect([response.destroyed, exchange.outcome, exchange.error?.reason]).toEqual([true, "slow_client", "SLOW_CLIENT"]);
  expect(clock.pending).toBe(0);
});

test("one that took all of it begins anew, and one that left is waited for no longer", () => {
  const { clock, response, exchange } = exchangeWith(0);
  const heard: string[] = [];
  const wait = () =>
    exchange.whenDrained(
      () => heard.push("drained"),
      () => heard.push("cut"),
    );
  wait();
  clock.advance(999);
  response.emit("drain");
  expect([heard, clock.pending]).toEqual([["drained"], 0]);
  wait();
  response.emit("close");
  expect([heard, clock.pending]).toEqual([["drained"], 0]);
});

test.each([
  ["a body", (exchange: Exchange) => exchange.json(200, "{}")],
  ["the end of a stream", (exchange: Exchange) => exchange.endEvents()],
])("%s that is not taken in time is cut off too, unless little is left of it", (_, answer) => {
  const { clock, response, exchange } = exchangeWith(40_960);
  answer(exchange);
  clock.advance(10_999);
  expect(response.destroyed).toBe(false);
  clock.advance(1);
  expect([response.destroyed, exchange.outcome]).toEqual([true, "slow_client"]);
  const little = exchangeWith(100);
  answer(little.exchange);
  expect(little.clock.pending).toBe(0);
});
