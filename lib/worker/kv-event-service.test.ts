import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { KvEventService, SubscribeRequestSchema, type SubscribeResponse } from "#gen/stator/worker/v1/kv_event_pb";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { createMemoryWire } from "#lib/rpc/memory-wire";
import { SEND_BUFFER_BYTES } from "#lib/rpc/stream";
import { TokenHasher } from "#lib/tokens/block-hash";
import { serveKvSubscriber } from "./kv-event-service.ts";
import { KvSource, type KvSourceLimits } from "./kv-source.ts";

function open(limits: Partial<KvSourceLimits> = {}) {
  const clock = new FakeClock();
  const source = new KvSource({
    incarnation: 1n,
    hasher: new TokenHasher(),
    clock,
    log: silentLog,
    limits: { gatherMs: 5, ...limits },
  });
  source.open({ blockTokens: 2, hashScheme: "test", totalBlocks: 1_000_000 });
  let first = 0;
  /** Stores so many new blocks and tells them. */
  const store = (blocks: number) => {
    const names = Array.from({ length: blocks }, (_, at) => first + at);
    first += blocks;
    const tokens = Uint32Array.from(names.flatMap((name) => [name, name]));
    const hashes = BigUint64Array.from(names, (name) => BigInt(name + 1));
    source.publish({ kind: "stored", parent: undefined, hashes, tokens, cacheSalt: "", adapter: undefined });
    clock.advance(5);
  };
  const subscribe = (fromEventId = 0n) => {
    const { input: up, output: down } = KvEventService.method.subscribe;
    const wire = createMemoryWire({ up, down }, clock);
    serveKvSubscriber(wire.server, { sources: [source], clock });
    const heard = { messages: [] as SubscribeResponse[], ends: [] as (StatorError | undefined)[] };
    wire.caller.receive({
      onMessage: (message) => void heard.messages.push(message),
      onEnd: (error) => void heard.ends.push(error),
    });
    wire.caller.send(create(SubscribeRequestSchema, { fromEventId }));
    clock.settle();
    return { wire, heard };
  };
  return { clock, source, store, subscribe };
}

const kindsOf = (messages: readonly SubscribeResponse[]) => messages.map(({ content }) => content.case);

test("one who does not read is kept no more than a send buffer, and told where to go on", () => {
  const { clock, source, store, subscribe } = open({ ringEvents: 10 });
  const { wire, heard } = subscribe();
  wire.freeze("caller");
  let most = 0;
  for (let at = 0; at < 100; at++) {
    store(1_000);
    most = Math.max(most, wire.server.bufferedBytes);
  }
  expect(most).toBeLessThan(SEND_BUFFER_BYTES + 64 * 1024);
  wire.thaw("caller");
  clock.settle();
  const last = heard.messages.at(-1)?.content;
  const batches = heard.messages.flatMap(({ content }) => (content.case === "batch" ? [content.value] : []));
  expect(last).toMatchObject({
    case: "resume",
    value: { fromEventId: batches.at(-1)!.firstEventId + 1n, oldestEventId: 91n },
  });
  expect([heard.ends, source.readers, source.counters.behind]).toEqual([[undefined], 0, 1]);
  expect(clock.pending).toBe(0);
});

test("one who reads a long snapshot slowly hears what came meanwhile, if it is remembered", () => {
  const { clock, store, subscribe } = open();
  for (let at = 0; at < 40; at++) store(1_000);
  const { wire, heard } = subscribe();
  wire.freeze("caller");
  store(1);
  clock.settle();
  wire.thaw("caller");
  clock.settle();
  const kinds = kindsOf(heard.messages);
  expect([kinds[0], kinds.at(-2), kinds.at(-1)]).toEqual(["header", "snapshot", "batch"]);
});

test("a heartbeat is sent only after silence", () => {
  const { clock, store, subscribe } = open({ heartbeatMs: 500 });
  const { heard } = subscribe();
  clock.advance(500);
  store(1);
  clock.advance(495);
  expect(kindsOf(heard.messages)).toEqual(["header", "snapshot", "batch"]);
  clock.advance(500);
  expect(heard.messages.at(-1)?.content).toMatchObject({ case: "heartbeat", value: { lastEventId: 1n } });
});

test("one who asks for nothing, or twice, is told so", () => {
  const { clock, source, subscribe } = open();
  const { wire, heard } = subscribe();
  wire.caller.send(create(SubscribeRequestSchema, {}));
  clock.settle();
  expect([heard.ends[0]?.reason, source.readers]).toEqual(["INVALID_ARGUMENT", 0]);
  const { input: up, output: down } = KvEventService.method.subscribe;
  const silent = createMemoryWire({ up, down }, clock);
  serveKvSubscriber(silent.server, { sources: [source], clock });
  const ends: (StatorError | undefined)[] = [];
  silent.caller.receive({ onMessage() {}, onEnd: (error) => void ends.push(error) });
  silent.caller.end();
  clock.settle();
  expect(ends[0]?.reason).toBe("INVALID_ARGUMENT");
});

test("one who asks after the end is told so, and nothing waits for it", () => {
  const { clock, source, store, subscribe } = open();
  const { heard: before } = subscribe();
  source.close(new StatorError("DRAINING", { what: "The worker" }));
  const { heard: after } = subscribe();
  store(2);
  expect([...before.ends, ...after.ends].map((error) => error?.reason)).toEqual(["DRAINING", "DRAINING"]);
  expect([kindsOf(after.messages), source.readers, source.lastId, clock.pending]).toEqual([[], 0, 0n, 0]);
});
