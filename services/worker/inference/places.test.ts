import { describe, expect, it } from "vitest";
import { Places } from "./places.ts";

function ask(places: Places, name: string, log: string[], again = false) {
  const abort = new AbortController();
  const entered = places.enter({ signal: abort.signal, again }).then(
    () => void log.push(name),
    (error: Error) => void log.push(`${name}: ${error.message}`),
  );
  return { abort, entered };
}

const turn = () => new Promise<void>((resolve) => void setImmediate(resolve));

describe("places", () => {
  it("are given in order, as many as there are", async () => {
    const places = new Places({ maxRunning: 2, maxWaiting: 8 });
    const log: string[] = [];
    for (const name of ["a", "b", "c", "d"]) ask(places, name, log);
    await turn();
    expect([log, places.running, places.waiting]).toEqual([["a", "b"], 2, 2]);
    places.leave();
    await turn();
    expect([log, places.running, places.waiting]).toEqual([["a", "b", "c"], 2, 1]);
    for (const _ of "ab") places.leave();
    await turn();
    expect([log, places.running, places.waiting]).toEqual([["a", "b", "c", "d"], 1, 0]);
    places.leave();
    expect(places.running).toBe(0);
  });

  it("are waited for by so many, and by those that had one before", async () => {
    const places = new Places({ maxRunning: 1, maxWaiting: 1 });
    const log: string[] = [];
    ask(places, "a", log);
    ask(places, "b", log);
    ask(places, "c", log);
    ask(places, "d", log, true);
    await turn();
    expect(log).toEqual(["a", "c: Every place for requests of tensors is taken; try again in a moment."]);
    expect(places.waiting).toBe(2);
  });

  it("are not given to who has left", async () => {
    const places = new Places({ maxRunning: 1, maxWaiting: 8 });
    const log: string[] = [];
    ask(places, "a", log);
    const left = ask(places, "b", log);
    ask(places, "c", log);
    left.abort.abort(new Error("gone"));
    places.leave();
    await turn();
    expect([log, places.running]).toEqual([["a", "b: gone", "c"], 1]);
    places.leave();
    expect(places.running).toBe(0);
    const late = new AbortController();
    late.abort(new Error("too late"));
    await expect(places.enter({ signal: late.signal, again: false })).rejects.toThrow("too late");
    expect(places.running).toBe(0);
  });
});
