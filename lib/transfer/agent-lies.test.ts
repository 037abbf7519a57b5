import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { TransferScopeSchema } from "#gen/stator/common/v1/common_pb";
import {
  PayloadService,
  type PullRequest,
  PullRequestSchema,
  type PullResponse,
  PullResponseSchema,
  type TransferAgentSchema,
  TransferRung,
} from "#gen/stator/worker/v1/payload_pb";
import { viewBytes } from "#lib/base/bytes";
import { systemClock } from "#lib/host/system-clock";
import { printLayout } from "#lib/kv/transfer-scope";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { createService } from "#lib/rpc/service";
import type { DuplexChannel } from "#lib/rpc/stream";
import { fetchOptions, LAYOUT, promptOf, serve, TransferRig } from "../../test/support/transfer-rig.ts";
import { splitAddress } from "./session-message.ts";

const FIRST = Uint32Array.of(9001);
const BLOCK_BYTES = 1024;

type Said = MessageInitShape<typeof PullResponseSchema>["content"];

/** A worker that answers with what the test says, and a reader that fetches ten blocks of it. */
async function fetchFrom(
  say: (header: Said) => readonly Said[],
  agent: MessageInitShape<typeof TransferAgentSchema> = {},
): Promise<{ reason: string | undefined; blocks: number | undefined }> {
  const rig = new TransferRig();
  const [model, reader] = [await rig.add(), await rig.add()];
  const prompt = promptOf(40);
  model.store.compute(prompt);
  const session = model.agent.keep({ ...prompt, firstTokens: FIRST });
  const header: Said = { case: "header", value: { session } };
  const liar = createService(PayloadService, {
    exchange: () => ({
      owner: {
        ...{ instanceId: 9n, incarnation: model.incarnation, host: 77n, processId: 1, rungs: [2, 6] },
        regions: [{ id: 1, bytes: 32n * 1024n, memoryFile: 1, address: 1n }],
        ...agent,
      },
    }),
    pull: {
      open(channel) {
        channel.receive({
          onMessage({ content }) {
            if (content.case !== "open") return;
            for (const each of say(header)) channel.send(create(PullResponseSchema, { content: each }));
          },
          onEnd: () => channel.end(),
        });
      },
    },
    release: () => ({}),
  });
  const server = await serve([liar]);
  const endpoints = [{ ...session.endpoints[0]!, ...splitAddress(server.address) }];
  const { report, firstTokens } = await reader.agent.fetch(
    { session: { ...session, endpoints } },
    prompt,
    fetchOptions(),
  );
  expect(firstTokens).toEqual(FIRST);
  expect(reader.store.reserved).toBe(0);
  await rig.close();
  await server.close();
  return { reason: report.reason, blocks: report.blocks };
}

function places(firstBlock: number, offsets: bigint[], checksums = offsets.length, region = 1): Said {
  const value = { firstBlock, region, offsets: viewBytes(BigUint64Array.from(offsets)) };
  return { case: "blocks", value: { ...value, checksums: new Uint8Array(checksums * 8) } };
}

function chunk(block: number, offset: number, length: number): Said {
  return { case: "chunk", value: { block, offset, data: new Uint8Array(length), checksum: 0n } };
}

const END: Said = { case: "end", value: { blocks: 0, firstTokenIds: viewBytes(FIRST), failed: false } };

test.each([
  ["no header", () => [END]],
  ["two headers", (header: Said) => [header, header]],
  ["a header without a session", () => [{ case: "header", value: {} } as Said]],
  ["an offset outside its region", (header: Said) => [header, places(0, [32n * 1024n - 1023n])]],
  ["an offset beyond all memory", (header: Said) => [header, places(0, [2n ** 64n - 1n])]],
  ["blocks out of order", (header: Said) => [header, places(1, [0n])]],
  ["no blocks", (header: Said) => [header, places(0, [])]],
  ["fewer checksums than blocks", (header: Said) => [header, places(0, [0n, 1024n], 1)]],
  [
    "more blocks than there are",
    (header: Said) => [
      header,
      places(
        0,
        Array.from({ length: 11 }, () => 0n),
      ),
    ],
  ],
  ["another way than was asked for", (header: Said) => [header, chunk(0, 0, BLOCK_BYTES)]],
  ["other blocks than it counts", (header: Said) => [header, { ...END, value: { ...END.value, blocks: 3 } } as Said]],
  ["bytes that are not what it says", (header: Said) => [header, places(0, [0n])]],
] satisfies [string, (header: Said) => readonly Said[]][])("%s: nothing of it is taken", async (_, say) => {
  expect(await fetchFrom(say)).toEqual({ reason: "CORRUPT", blocks: 0 });
});

test.each([
  ["another block", (header: Said) => [header, chunk(1, 0, BLOCK_BYTES)]],
  ["a gap", (header: Said) => [header, chunk(0, 0, 512), chunk(0, 600, 100)]],
  ["nothing in a chunk", (header: Said) => [header, chunk(0, 0, 0)]],
  ["more than a block", (header: Said) => [header, chunk(0, 0, BLOCK_BYTES + 1)]],
  ["places", (header: Said) => [header, places(0, [0n])]],
  ["bytes that are not what it says", (header: Said) => [header, chunk(0, 0, BLOCK_BYTES)]],
] satisfies [string, (header: Said) => readonly Said[]][])("in messages, %s: nothing is taken", async (_, say) => {
  expect(await fetchFrom(say, { rungs: [TransferRung.GRPC] })).toEqual({ reason: "CORRUPT", blocks: 0 });
});

test("an owner without a way, of another layout in its header, or with torn lists is refused", async () => {
  expect(await fetchFrom(() => [], { rungs: [99 as TransferRung] })).toMatchObject({ reason: "UNAVAILABLE" });
  expect(
    await fetchFrom(() => [], { regions: [{ id: 1, bytes: 2n ** 63n, memoryFile: 1 }], rungs: [2] }),
  ).toMatchObject({
    reason: "UNAVAILABLE",
  });
  expect(
    await fetchFrom((header) => {
      if (header?.case !== "header") return [];
      const layout = create(TransferScopeSchema, printLayout({ ...LAYOUT, layers: 3 }));
      return [{ case: "header", value: { session: { ...header.value.session, layout } as never } }];
    }),
  ).toEqual({ reason: "CONTRACT_MISMATCH", blocks: 0 });
  expect(await fetchFrom((header) => [header, places(0, [0n], 1, 7)])).toMatchObject({ reason: "CORRUPT", blocks: 0 });
  const torn: Said = { case: "blocks", value: { firstBlock: 0, region: 1, offsets: new Uint8Array(9) } };
  expect(await fetchFrom((header) => [header, torn])).toEqual({ reason: "INVALID_ARGUMENT", blocks: 0 });
});

/** A reader that says what the test says, to an owner that keeps ten blocks. */
async function readWith(
  requests: (sessionId: string) => readonly MessageInitShape<typeof PullRequestSchema>["content"][],
) {
  const rig = new TransferRig();
  const owner = await rig.add({ limits: { maxSessions: 2 } });
  const prompt = promptOf(40);
  owner.store.compute(prompt);
  const session = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  const transport = new Channel(owner.address, loopbackCredentials, systemClock);
  const channel: DuplexChannel<PullRequest, PullResponse> = transport.open(PayloadService.method.pull);
  const over = Promise.withResolvers<string | undefined>();
  channel.receive({ onMessage() {}, onEnd: (error) => over.resolve(error?.reason) });
  for (const content of requests(session.sessionId)) channel.send(create(PullRequestSchema, { content }));
  const reason = await over.promise;
  expect(owner.agent.load.openSessions).toBe(1);
  transport.close();
  await rig.close();
  return reason;
}

const OPEN = {
  ...{ fromBlock: 0, rung: TransferRung.GRPC, windowBlocks: 4, modelDigest: new Uint8Array(32).fill(7) },
  layout: printLayout(LAYOUT),
};

test("what a reader may not say ends its call, and the session stays", async () => {
  const of = (value: string) => ({ case: "sessionId", value }) as const;
  const openWith = (changed: object) =>
    readWith((id) => [{ case: "open", value: { ...OPEN, of: of(id), ...changed } }]);
  expect(await openWith({ of: { case: undefined } })).toBe("INVALID_ARGUMENT");
  expect(await openWith({ of: of("nobody") })).toBe("NOT_FOUND");
  expect(await openWith({ incarnation: 5n })).toBe("STREAM_LOST");
  expect(await openWith({ modelDigest: new Uint8Array(32) })).toBe("CONTRACT_MISMATCH");
  expect(await openWith({ layout: printLayout({ ...LAYOUT, blockTokens: 6 }) })).toBe("CONTRACT_MISMATCH");
  expect(await openWith({ layout: undefined })).toBe("INVALID_ARGUMENT");
  expect(await openWith({ rung: 99 })).toBe("INVALID_ARGUMENT");
  expect(await openWith({ windowBlocks: 0 })).toBe("INVALID_ARGUMENT");
  const taken = { case: "taken", value: { blocks: 11 } } as const;
  expect(await readWith(() => [taken])).toBe("INVALID_ARGUMENT");
  expect(await readWith((id) => [{ case: "open", value: { ...OPEN, of: of(id) } }, taken])).toBe("INVALID_ARGUMENT");
  const twice = { case: "open", value: OPEN } as const;
  expect(await readWith((id) => [{ case: "open", value: { ...OPEN, of: of(id) } }, twice])).toBe("INVALID_ARGUMENT");
  expect(await readWith(() => [{ case: undefined }])).toBe("INVALID_ARGUMENT");
});

test("a reader that takes nothing has no more than its window, and is given up with its memory after its time", async () => {
  const rig = new TransferRig();
  const owner = await rig.add({ limits: { maxSessions: 2 } });
  const prompt = promptOf(40);
  owner.store.compute(prompt);
  const { sessionId } = owner.agent.keep({ ...prompt, firstTokens: FIRST });
  const transport = new Channel(owner.address, loopbackCredentials, systemClock);
  const open = () => {
    const channel: DuplexChannel<PullRequest, PullResponse> = transport.open(PayloadService.method.pull);
    const over = Promise.withResolvers<string | undefined>();
    channel.receive({ onMessage() {}, onEnd: (error) => over.resolve(error?.reason) });
    const value = { ...OPEN, of: { case: "sessionId", value: sessionId } } as const;
    channel.send(create(PullRequestSchema, { content: { case: "open", value } }));
    return { channel, over: over.promise };
  };
  const pulls = Array.from({ length: 4 }, open);
  await expect.poll(() => owner.store.counts.read).toBe(16);
  expect(await open().over).toBe("LIMIT");
  // It says that it is there, and takes nothing.
  rig.clock.advance(29_000);
  const nothing = create(PullRequestSchema, { content: { case: "taken", value: { blocks: 0 } } });
  for (const { channel } of pulls) channel.send(nothing);
  await createClient(PayloadService, transport).release({ sessionIds: [] });
  rig.clock.advance(30_000);
  expect(await Promise.all(pulls.map(({ over }) => over))).toEqual(pulls.map(() => "DEADLINE"));
  rig.clock.advance(30_000);
  await expect.poll(() => owner.agent.load).toMatchObject({ openSessions: 0, pinnedBlocks: 0 });
  await expect(
    createClient(PayloadService, transport).release({ sessionIds: Array.from({ length: 1025 }, () => "x") }),
  ).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  transport.close();
  await rig.close();
});
