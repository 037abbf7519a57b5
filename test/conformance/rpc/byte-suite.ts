import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { BytesValueSchema } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StatorError } from "#lib/base/errors";
import { type Client, createClient } from "#lib/rpc/client";
import { type DuplexChannel, SEND_BUFFER_BYTES } from "#lib/rpc/stream";
import type { ByteTransport } from "#lib/rpc/transport";
import { EchoService } from "./echo.ts";
import { Lab } from "./lab.ts";
import type { Rig } from "./suite.ts";

/** What a binding does with the bytes of messages. */
export interface ByteTraits {
  /** The port belongs to a binding whose caller sends messages alone. */
  readonly messagesOnly?: boolean;
  /** Bytes travel as they are: nobody looks whether they are a message. */
  readonly opaque?: boolean;
}

const ONE = { value: new Uint8Array([1, 2, 3]) };
const bytesOf = (init: MessageInitShape<typeof BytesValueSchema>) =>
  toBinary(BytesValueSchema, create(BytesValueSchema, init));
/** No message of any schema: a field number 0. */
const GARBAGE = new Uint8Array([0x02, 0x01]);

/** What `#lib/rpc` promises to who handles the bytes of messages, at either end. */
export function describeBytes(name: string, open: (lab: Lab) => Promise<Rig>, traits: ByteTraits = {}): void {
  describe(`bytes over ${name}`, () => {
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

    test("a handler of bytes answers a unary call", async () => {
      expect([...(await client.mirror(ONE)).value]).toEqual([...ONE.value]);
      expect(lab.seen.map((bytes) => Buffer.from(bytes))).toEqual([Buffer.from(bytesOf(ONE))]);
      expect(lab.last.method).toBe(EchoService.method.mirror);
      expect(lab.last.signal.aborted).toBe(false);
    });

    test("a handler of bytes answers a stream in order, the half-close last", async () => {
      const values = Array.from({ length: 300 }, (_, at) => ({ value: new Uint8Array([at % 256, 7]) }));
      const asked = async function* () {
        yield* values;
      };
      const seen: number[] = [];
      for await (const { value } of client.relay(asked())) seen.push(value[0] ?? -1);
      expect(seen).toEqual(values.map(({ value }) => value[0]));
      expect(lab.seen).toHaveLength(300);
      expect(lab.ends).toEqual([undefined]);
    });

    test("a handler of bytes refuses a call, and what it throws tells nothing", async () => {
      const ask = async (init: { value?: Uint8Array }, metadata = {}) => {
        const asked = async function* () {
          yield init;
        };
        for await (const _ of client.relay(asked(), { metadata })) throw new Error("it answered");
      };
      await expect(ask(ONE, { "x-refuse": "yes" })).rejects.toMatchObject({ reason: "NO_WORKERS" });
      await expect(ask({})).rejects.toMatchObject({
        reason: "INTERNAL",
        message: expect.not.stringContaining("secret"),
      });
    });

    test("a handler of bytes sees its caller leave", async () => {
      const abort = new AbortController();
      const asked = async function* () {
        yield ONE;
        // An end of the requests would be an end in order.
        await new Promise(() => {});
      };
      const answers = client.relay(asked(), { signal: abort.signal });
      await answers.next();
      abort.abort();
      await expect(answers.next()).rejects.toMatchObject({ reason: "CANCELLED" });
      // Clients on Node half-close before they reset: a cancel may come as an end in order (see StreamHandlers).
      await until(() => lab.ends.length === 1);
    });

    describe.skipIf(traits.messagesOnly)("from a caller of bytes", () => {
      const { method } = EchoService;
      const openBytes = (of: Parameters<ByteTransport["openBytes"]>[0]) => {
        const channel = (rig.transport as ByteTransport).openBytes(of);
        const got = { messages: [] as Buffer[], ends: [] as (StatorError | undefined)[], drains: 0 };
        channel.receive({
          onMessage: (bytes) => got.messages.push(Buffer.from(bytes)),
          onEnd: (error) => got.ends.push(error),
          onDrain: () => got.drains++,
        });
        return { channel, got };
      };
      const send = ({ channel }: { channel: DuplexChannel<Uint8Array, Uint8Array> }, ...all: Uint8Array[]) => {
        for (const bytes of all) channel.send(bytes);
        channel.end();
      };

      test.each(["mirror", "relay", "link"] as const)("%s gets the message and answers", async (name) => {
        const call = openBytes(method[name]);
        send(call, bytesOf(ONE));
        await until(() => call.got.ends.length === 1);
        expect(call.got.ends).toEqual([undefined]);
        expect(call.got.messages).toEqual([Buffer.from(bytesOf(ONE))]);
      });

      test("garbage is refused by who reads it", async () => {
        const call = openBytes(method.link);
        send(call, GARBAGE);
        await until(() => call.got.ends.length === 1);
        expect(call.got.ends[0]?.reason).toBe("INVALID_ARGUMENT");
        expect(call.got.messages).toEqual([]);
      });

      test.skipIf(!traits.opaque)("garbage passes who does not read it", async () => {
        const call = openBytes(method.mirror);
        send(call, GARBAGE);
        await until(() => call.got.ends.length === 1);
        expect(call.got.messages).toEqual([Buffer.from(GARBAGE)]);
      });

      test.each(["mirror", "say"] as const)("%s takes one message, not two and not none", async (name) => {
        const none = openBytes(method[name]);
        send(none);
        const two = openBytes(method[name]);
        send(two, bytesOf(ONE), bytesOf(ONE));
        await until(() => none.got.ends.length === 1 && two.got.ends.length === 1);
        const path = `/stator.test.v1.EchoService/${name === "say" ? "Say" : "Mirror"}`;
        expect(none.got.ends[0]).toMatchObject({ reason: "INVALID_ARGUMENT" });
        expect(none.got.ends[0]?.message).toContain(`${path} takes one message and got none`);
        expect(two.got.ends[0]?.message).toContain(`${path} takes one message`);
        expect([...none.got.messages, ...two.got.messages]).toEqual([]);
        expect(lab.ends.filter((error) => error === undefined)).toEqual([]);
      });

      test("a sender of bytes learns that its buffer is full and that it drained", async () => {
        const call = openBytes(method.relay);
        const bytes = bytesOf({ value: new Uint8Array(32 * 1024) });
        let sent = 1;
        while (call.channel.send(bytes)) {
          sent++;
          expect(sent).toBeLessThan(10_000);
        }
        expect(call.channel.bufferedBytes).toBeGreaterThan(SEND_BUFFER_BYTES);
        await until(() => call.got.drains > 0);
        call.channel.end();
        await until(() => call.got.ends.length === 1);
        expect(call.got.messages).toHaveLength(sent);
      });
    });
  });
}
