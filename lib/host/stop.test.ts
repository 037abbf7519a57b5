import { EventEmitter } from "node:events";
import { expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { listenForStop } from "./stop.ts";

function start(obeysParent: boolean) {
  const source = new EventEmitter();
  const clock = new FakeClock();
  const said: string[] = [];
  const handlers = { drain: (why: string) => void said.push(`drain ${why}`), force: () => void said.push("force") };
  const end = listenForStop(source, clock, handlers, obeysParent);
  return { source, clock, said, end };
}

it("takes two SIGINTs within half a second for one, and a later one as force", () => {
  const { source, clock, said } = start(false);
  source.emit("SIGINT");
  clock.advance(400);
  source.emit("SIGINT");
  expect(said).toEqual(["drain SIGINT"]);
  clock.advance(600);
  source.emit("SIGINT");
  expect(said).toEqual(["drain SIGINT", "force"]);
});

it("drains once, whoever asks", () => {
  const { source, said, end } = start(false);
  source.emit("SIGTERM");
  source.emit("disconnect");
  source.emit("SIGTERM");
  expect(said).toEqual(["drain SIGTERM"]);
  end();
  expect(source.listenerCount("SIGTERM")).toBe(0);
});

it("leaves the terminal's SIGINT to the parent in a child", () => {
  const { source, said } = start(true);
  source.emit("SIGINT");
  source.emit("disconnect");
  expect(said).toEqual(["drain the parent is gone"]);
});
