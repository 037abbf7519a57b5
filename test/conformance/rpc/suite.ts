import { create } from "@bufbuild/protobuf";
import { BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Health } from "#gen/grpc/health/v1/health_pb";
import { StatorError } from "#lib/base/errors";
import { type Client, createClient } from "#lib/rpc/client";
import type { Metadata } from "#lib/rpc/metadata";
import { MESSAGE_LIMIT_BYTES } from "#lib/rpc/settings";
import { SEND_BUFFER_BYTES } from "#lib/rpc/stream";
import type { Transport } from "#lib/rpc/transport";
import { EchoService } from "./echo.ts";
import { FLOOD_BYTES, Lab } from "./lab.ts";

/** One server and one client under test. */
export interface Rig {
  readonly transport: Transport;
  /** Ends the server: waits so long for open calls, then ends them. Absent where the port belongs to somebody else. */
  drain?(timeoutMs: number): Promise<void>;
  close(): Promise<void> | void;
}

/** What a binding does not promise. */
export interface RigTraits {
  /** Messages never become bytes, so none is too long. */
  readonly unlimited?: boolean;
  /** Its callers are proven: by a certificate, or because they are the same process. */
  readonly proven?: boolean;
  /** The port allows only public methods. */
  readonly publicOnly?: boolean;
}

/** The promises of `#lib/rpc`, the same for every binding. */
export function describeBinding(name: string, open: (lab: Lab) => Promise<Rig>, traits: RigTraits = {}): void {
  describe(name, () => {
    let lab: Lab;
    let rig: Rig;
    let client: Client<typeof EchoService>;

    beforeEach(async () => {
      lab = new Lab();
      rig = await open(lab);
      client = createClient(EchoService, rig.transport);
    });
    afterEach(() => rig.close());

    const until = (condition: () => boolean) => expect.poll(condition, { timeout: 10_000, interval: 5 }).toBe(true);
    const failure = async (run: () => Promise<unknown>): Promise<StatorError> => {
      try {
        await run();
      } catch (caught) {
        expect(caught).toBeInstanceOf(StatorError);
        return caught as StatorError;
      }
      throw new Error("it did not fail");
    };
    const drainAll = async (items: AsyncIterable<unknown>) => {
      let count = 0;
      for await (const _ of items) count++;
      return count;
    };

    test("answers a unary call", async () => {
      expect((await client.say({ value: "héllo" })).value).toBe("héllo");
      expect(lab.peers[0]?.proven).toBe(traits.proven ?? false);
      expect(lab.peers[0]?.address).toMatch(/^(direct|127\.0\.0\.1:\d+)$/);
      expect(lab.last.method).toBe(EchoService.method.say);
      expect(lab.last.deadlineUnixMs).toBeUndefined();
    });

    test("carries an error with its facts, param and delay", async () => {
      const error = await failure(() => client.say({ value: "retry" }));
      expect(error.reason).toBe("INVALID_FIELD");
      expect(error.message).toBe("n: bad.");
      expect(error.param).toBe("n");
      expect(error.retryAfterMs).toBe(1_500);
      const other = await failure(() => client.say({ value: "!NO_WORKERS" }));
      expect(other.facts).toMatchObject({ model: "m" });
    });

    test("tells nothing of what a bug said", async () => {
      const error = await failure(() => client.say({ value: "crash" }));
      expect(error.reason).toBe("INTERNAL");
      expect(error.message).not.toContain("secret");
    });

    test("ends a stream with an error after what was sent", async () => {
      const seen: number[] = [];
      const error = await failure(async () => {
        for await (const { value } of client.count({ value: 7 })) seen.push(value);
      });
      expect(error.reason).toBe("NO_WORKERS");
      // An error may overtake messages that were not read; what was read is in order.
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6].slice(0, seen.length));
      expect(lab.finished).toBe(1);
    });

    test("cancels a call whose requests throw", async () => {
      const broken = async function* () {
        yield { value: "a" };
        await until(() => lab.calls.length === 1);
        throw new StatorError("INVALID_ARGUMENT", { detail: "no more" });
      };
      const error = await failure(() => client.join(broken()));
      // The server may have seen the requests end: clients on Node half-close before they reset (see StreamHandlers).
      expect(error.reason).toBe("INVALID_ARGUMENT");
    });

    test("gives up at the deadline on both sides", async () => {
      const error = await failure(() => client.say({ value: "wait" }, { timeoutMs: 100 }));
      expect(error.reason).toBe("DEADLINE");
      expect(lab.last.deadlineUnixMs).toBeGreaterThan(Date.now() - 10_000);
      await until(() => lab.last.signal.aborted);
      expect(lab.last.signal.reason).toBeInstanceOf(StatorError);
    });

    test("cancels a unary call", async () => {
      const abort = new AbortController();
      const call = failure(() => client.say({ value: "wait" }, { signal: abort.signal }));
      await until(() => lab.calls.length === 1);
      abort.abort();
      expect((await call).reason).toBe("CANCELLED");
      await until(() => lab.last.signal.aborted);
    });

    test("does not start a call that is cancelled before", async () => {
      const error = await failure(() => client.say({ value: "x" }, { signal: AbortSignal.abort() }));
      expect(error.reason).toBe("CANCELLED");
      expect(lab.calls).toHaveLength(0);
    });

    test("cancels a stream whose reader leaves", async () => {
      for await (const { value } of client.flood({})) {
        expect(value).toHaveLength(FLOOD_BYTES);
        break;
      }
      await until(() => lab.finished === 1);
    });

    test("cancels a stream that says nothing", async () => {
      const abort = new AbortController();
      const call = failure(() => drainAll(client.count({ value: 0 }, { signal: abort.signal })));
      await until(() => lab.calls.length === 1);
      abort.abort();
      expect((await call).reason).toBe("CANCELLED");
      await until(() => lab.finished === 1);
    });

    test("streams in order", async () => {
      const seen: number[] = [];
      for await (const { value } of client.count({ value: 2_000 })) seen.push(value);
      expect(seen).toEqual(Array.from({ length: 2_000 }, (_, at) => at));
    });

    test("holds a stream back that nobody reads", async () => {
      const stream = client.flood({});
      await stream.next();
      let before = -1;
      while (lab.yielded > before) {
        before = lab.yielded;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(lab.yielded * FLOOD_BYTES).toBeLessThan(8 * 1024 * 1024);
      const target = lab.yielded + 100;
      for (let read = 0; read < target; read++) await stream.next();
      await stream.return(undefined);
      await until(() => lab.finished === 1);
    });

    test("joins a stream of requests", async () => {
      const letters = async function* () {
        for (const value of ["a", "b", "c"]) yield { value };
      };
      expect((await client.join(letters())).value).toBe("abc");
    });

    test("answers after the caller half-closed", async () => {
      const words = async function* () {
        yield { value: "one" };
        yield { value: "two" };
      };
      const seen: string[] = [];
      for await (const { value } of client.chat(words())) seen.push(value);
      expect(seen).toEqual(["one?", "two?", "2 in all"]);
    });

    test("talks both ways at once", async () => {
      let say: (value: string | undefined) => void = () => {};
      const asked = async function* () {
        for (;;) {
          const value = await new Promise<string | undefined>((resolve) => {
            say = resolve;
          });
          if (value === undefined) return;
          yield { value };
        }
      };
      const answers = client.chat(asked());
      for (const word of ["a", "b", "c"]) {
        const answer = answers.next();
        await new Promise((resolve) => setTimeout(resolve, 20));
        say(word);
        expect((await answer).value?.value).toBe(`${word}?`);
      }
      const rest = answers.next();
      await new Promise((resolve) => setTimeout(resolve, 20));
      say(undefined);
      expect((await rest).value?.value).toBe("3 in all");
      expect((await answers.next()).done).toBe(true);
    });

    const openLink = () => {
      const channel = rig.transport.open(EchoService.method.link);
      const seen = { messages: [] as number[], bytes: 0, ends: [] as (StatorError | undefined)[], drains: 0 };
      channel.receive({
        onMessage({ value }) {
          seen.messages.push(value[0] ?? -1);
          seen.bytes += value.byteLength;
        },
        onEnd: (error) => seen.ends.push(error),
        onDrain: () => seen.drains++,
      });
      const send = (first: number, length = 1) => {
        const value = new Uint8Array(length);
        value[0] = first;
        return channel.send(create(BytesValueSchema, { value }));
      };
      return { channel, seen, send };
    };

    test("carries a callback stream in order and ends it once", async () => {
      const { channel, seen, send } = openLink();
      for (let at = 0; at < 1_000; at++) send(at % 256);
      channel.end();
      channel.end();
      await until(() => seen.ends.length === 1);
      expect(seen.messages).toEqual(Array.from({ length: 1_000 }, (_, at) => at % 256));
      expect(seen.ends).toEqual([undefined]);
      expect(lab.ends).toEqual([undefined]);
      expect(send(1)).toBe(true);
      await until(() => lab.calls.length === 1);
      expect(lab.last.signal.aborted).toBe(false);
    });

    test("tells a sender that its buffer is full and that it drained", async () => {
      const { channel, seen, send } = openLink();
      let sent = 0;
      while (send(1, 32 * 1024)) {
        sent++;
        expect(sent).toBeLessThan(10_000);
      }
      expect(channel.bufferedBytes).toBeGreaterThan(SEND_BUFFER_BYTES);
      await until(() => seen.drains > 0);
      expect(channel.bufferedBytes).toBeLessThanOrEqual(SEND_BUFFER_BYTES);
      channel.end();
      await until(() => seen.ends.length === 1);
      expect(seen.bytes).toBe((sent + 1) * 32 * 1024);
    });

    test("ends a callback stream at once with an error, from either side", async () => {
      const first = openLink();
      first.send(1);
      await until(() => first.seen.messages.length === 1);
      first.channel.end(new StatorError("CANCELLED"));
      await until(() => first.seen.ends.length === 1 && lab.ends.length === 1);
      expect(first.seen.ends[0]?.reason).toBe("CANCELLED");

      const second = openLink();
      second.send(2);
      await until(() => second.seen.messages.length === 1);
      lab.links[1]?.end(new StatorError("DRAINING", { what: "The worker" }));
      await until(() => second.seen.ends.length === 1 && lab.ends.length === 2);
      expect(second.seen.ends[0]?.message).toBe("The worker is shutting down and takes nothing new.");
    });

    test("ends a callback stream when the server ends first", async () => {
      const { seen, send } = openLink();
      send(1);
      await until(() => seen.messages.length === 1);
      lab.links[0]?.end();
      await until(() => seen.ends.length === 1 && lab.ends.length === 1);
      expect(seen.ends).toEqual([undefined]);
      expect(lab.ends).toEqual([undefined]);
    });

    test.skipIf(traits.unlimited)("takes long messages and refuses longer ones", async () => {
      const most = MESSAGE_LIMIT_BYTES - 16;
      expect((await client.fill({ value: most })).value).toHaveLength(most);
      expect((await failure(() => client.fill({ value: MESSAGE_LIMIT_BYTES }))).row.http).toBeGreaterThanOrEqual(400);
      const { seen, send } = openLink();
      send(1, MESSAGE_LIMIT_BYTES);
      await until(() => seen.ends.length === 1);
      // The official Connect client says RESOURCE_EXHAUSTED by itself.
      expect(["LIMIT", "OVERLOADED"]).toContain(seen.ends[0]?.reason);
    });

    test("refuses methods that are not served", async () => {
      expect((await failure(() => client.absent({}))).reason).toBe("UNSUPPORTED_FEATURE");
      const stranger = createClient(Health, rig.transport);
      expect((await failure(() => stranger.check({}))).reason).toBe("UNSUPPORTED_FEATURE");
      expect((await failure(() => drainAll(stranger.watch({})))).reason).toBe("UNSUPPORTED_FEATURE");
    });

    test("answers only whom its port allows", async () => {
      if (traits.publicOnly) expect((await failure(() => client.secret({}))).reason).toBe("ACCESS_DENIED");
      else expect((await client.secret({})).value).toBe("told");
    });

    test("carries metadata both ways", async () => {
      let headers: Metadata | undefined;
      let trailers: Metadata | undefined;
      await client.say(
        { value: "headers" },
        {
          metadata: { "x-question": "why" },
          onHeaders: (received) => {
            headers = received;
          },
          onTrailers: (received) => {
            trailers = received;
          },
        },
      );
      expect(lab.last.metadata.all("x-question")).toEqual(["why"]);
      expect(lab.last.metadata.get("x-nothing")).toBeUndefined();
      expect(headers?.get("x-answer")).toBe("why!");
      expect(trailers?.get("x-trailer")).toBe("after");
    });

    test("ends open calls when the client closes", async () => {
      const { seen, send } = openLink();
      send(1);
      await until(() => seen.messages.length === 1);
      rig.transport.close();
      await until(() => seen.ends.length === 1 && lab.ends.length === 1);
      expect(seen.ends[0]?.reason).toBe("UNAVAILABLE");
    });

    test("drains: finishes what is open, then ends it", async (context) => {
      if (!rig.drain) return context.skip("the port belongs to an HTTP server");
      const { seen, send } = openLink();
      send(1);
      await until(() => seen.messages.length === 1);
      const drained = rig.drain(300);
      send(2);
      await until(() => seen.messages.length === 2);
      expect(seen.ends).toEqual([]);
      await drained;
      await until(() => seen.ends.length === 1 && lab.ends.length === 1);
      expect(seen.ends[0]?.row.retry).not.toBe("never");
      expect(lab.last.signal.aborted).toBe(true);
      expect((await failure(() => client.say({ value: "x" }))).reason).toBe("UNAVAILABLE");
    });
  });
}
