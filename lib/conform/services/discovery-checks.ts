import { create } from "@bufbuild/protobuf";
import {
  DiscoveryService,
  InstanceRole,
  InstanceState,
  type Record as Kept,
  RecordSchema,
  type WatchRequest,
  type WatchResponse,
} from "#gen/stator/discovery/v1/discovery_pb";
import { type Client, createClient } from "#lib/rpc/client";
import type { Check } from "../check.ts";
import { expect, seen } from "../failure.ts";
import { CODE, codeName, statusOfCall } from "../openengine/engine-caller.ts";
import { inTime, pause, type ServiceBench } from "./service-bench.ts";

const TTL_MS = 1_000;
const LONG_MS = 60_000;

/** What a store of stator.discovery.v1 promises to those who register with it and watch it. */
export const DISCOVERY_CHECKS: readonly Check<ServiceBench>[] = [
  {
    name: "grants a lease with a name and a time",
    sentence: "Opens a lease. Records put under it vanish when it is not kept alive.",
    of: "DiscoveryService.GrantLease",
    run: (bench) =>
      leased(bench, LONG_MS, async (_client, lease) => {
        expect(lease.leaseId !== 0n, "lease_id is 0");
        expect(lease.ttlMs > 0, "ttl_ms is 0");
        expect(lease.storeIncarnation !== 0n, "store_incarnation is 0");
      }),
  },
  {
    name: "lists what was put, under its prefix alone",
    sentence: "Reads the records under a prefix.",
    of: "DiscoveryService.List",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId }) => {
        const { revision } = await client.put({ leaseId, records: [record(bench, "a"), record(bench, "ab")] });
        const { records, revision: seenAt } = await client.list({ prefix: key(bench, "a") });
        expect(records.length === 1, `${records.length} records are under a prefix that one of them has whole`);
        expectSame(records[0], record(bench, "a"));
        expect(seenAt >= revision, `the view of revision ${seenAt} is older than the change ${revision}`);
      }),
  },
  {
    name: "writes all records of a call or none",
    sentence: "Writes records under a lease. All or none.",
    of: "DiscoveryService.Put",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId }) => {
        const bad = create(RecordSchema, { ...record(bench, "b"), key: "NOT//A KEY" });
        const { code } = await statusOfCall(client.put({ leaseId, records: [record(bench, "b"), bad] }));
        expect(code === CODE.invalid, `a key that is none gets ${codeName(code)}`);
        const { records } = await client.list({ prefix: key(bench, "b") });
        expect(records.length === 0, "the other record of the same call was written");
      }),
  },
  {
    name: "removes by key, and skips what is not there",
    sentence: "Exact keys; those that do not exist are skipped.",
    of: "RemoveRequest.keys",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId }) => {
        await client.put({ leaseId, records: [record(bench, "c")] });
        await client.remove({ keys: [key(bench, "c"), key(bench, "nobody")], leaseId });
        expect((await client.list({ prefix: key(bench, "c") })).records.length === 0, "the record is still there");
      }),
  },
  {
    name: "leaves a record to the lease that took it over",
    sentence:
      "Only keys that this lease holds are removed: one that another process took over stays. 0 removes whoever holds them.",
    of: "RemoveRequest.lease_id",
    run: (bench) =>
      leased(bench, LONG_MS, (client, first) =>
        leased(bench, LONG_MS, async (_client, second) => {
          await client.put({ leaseId: first.leaseId, records: [record(bench, "d")] });
          await client.put({ leaseId: second.leaseId, records: [record(bench, "d")] });
          await client.remove({ keys: [key(bench, "d")], leaseId: first.leaseId });
          await client.revokeLease({ leaseId: first.leaseId });
          expect(
            (await client.list({ prefix: key(bench, "d") })).records.length === 1,
            "it is gone with the lease before",
          );
        }),
      ),
  },
  {
    name: "ends a lease at once when it is revoked",
    sentence: "Ends a lease and removes its records at once.",
    of: "DiscoveryService.RevokeLease",
    async run(bench) {
      const client = clientOf(bench);
      const { leaseId } = await client.grantLease({ ttlMs: LONG_MS });
      await client.put({ leaseId, records: [record(bench, "e")] });
      await client.revokeLease({ leaseId });
      expect((await client.list({ prefix: key(bench, "e") })).records.length === 0, "its record is still there");
    },
  },
  {
    name: "does not prolong a lease that is gone",
    sentence: "Prolongs a lease by its time to live. NOT_FOUND when it lapsed.",
    of: "DiscoveryService.KeepAlive",
    async run(bench) {
      const client = clientOf(bench);
      const { leaseId } = await client.grantLease({ ttlMs: LONG_MS });
      await client.revokeLease({ leaseId });
      const { code } = await statusOfCall(client.keepAlive({ leaseId }));
      expect(code === CODE.notFound, `KeepAlive answers ${codeName(code)}`);
    },
  },
  {
    name: "lets records go whose lease lapses, and tells its watchers",
    sentence: "Opens a lease. Records put under it vanish when it is not kept alive.",
    of: "DiscoveryService.GrantLease",
    async run(bench) {
      const client = clientOf(bench);
      const { leaseId, ttlMs } = await client.grantLease({ ttlMs: TTL_MS });
      seen(ttlMs <= 10_000, `the shortest lease that it grants has ${ttlMs} ms`);
      await client.put({ leaseId, records: [record(bench, "f")] });
      const watch = follow(bench, { prefix: key(bench, "f") });
      expect((await watch.next("the snapshot")).upserts.length === 1, "its record is not in the snapshot");
      const gone = await watch.until((change) => change.removed.includes(key(bench, "f")), "the end of its record");
      expect(gone.revision > 0n, "the change has no revision");
    },
  },
  {
    name: "keeps records whose lease is kept alive",
    sentence: "Prolongs a lease by its time to live. NOT_FOUND when it lapsed.",
    of: "DiscoveryService.KeepAlive",
    run: (bench) =>
      leased(bench, TTL_MS, async (client, { leaseId }) => {
        await client.put({ leaseId, records: [record(bench, "g")] });
        for (let round = 0; round < 5; round++) {
          await pause(bench, TTL_MS / 3);
          await client.keepAlive({ leaseId });
        }
        expect((await client.list({ prefix: key(bench, "g") })).records.length === 1, "its record is gone");
      }),
  },
  {
    name: "begins a watch with everything that is there",
    sentence: "True: upserts are the whole view, and what is not among them is gone.",
    of: "WatchResponse.snapshot",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId, storeIncarnation }) => {
        await client.put({ leaseId, records: [record(bench, "h/1"), record(bench, "h/2")] });
        const first = await follow(bench, { prefix: key(bench, "h") }).next("the snapshot");
        expect(first.snapshot, "the first message is no snapshot");
        expect(first.upserts.length === 2, `the snapshot has ${first.upserts.length} of 2 records`);
        expect(first.storeIncarnation === storeIncarnation, "it names another incarnation than the lease");
      }),
  },
  {
    name: "tells its watchers of each change, in order",
    sentence: "Follows the records under a prefix. Starts with a snapshot unless it can resume.",
    of: "DiscoveryService.Watch",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId }) => {
        const watch = follow(bench, { prefix: key(bench, "i") });
        let last = (await watch.next("the snapshot")).revision;
        for (const name of ["i/1", "i/2", "i/3"]) {
          await client.put({ leaseId, records: [record(bench, name)] });
          const change = await watch.until(({ upserts }) => upserts.length > 0, `the change of ${name}`);
          expectSame(change.upserts[0], record(bench, name));
          expect(change.revision > last, `revision ${change.revision} came behind ${last}`);
          last = change.revision;
        }
      }),
  },
  {
    name: "resumes a watch behind what its caller has seen",
    sentence: "Resume after this revision of this store incarnation; 0 asks for a snapshot.",
    of: "WatchRequest.after_revision",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId, storeIncarnation }) => {
        const { revision } = await client.put({ leaseId, records: [record(bench, "j/1")] });
        await client.put({ leaseId, records: [record(bench, "j/2")] });
        const request = { prefix: key(bench, "j"), afterRevision: revision, storeIncarnation };
        const change = await follow(bench, request).until(
          ({ upserts, snapshot }) => snapshot || upserts.length > 0,
          "what came since",
        );
        const names = change.upserts.map((each) => each.key);
        expect(names.includes(key(bench, "j/2")), "what came since is not told");
        if (!change.snapshot) expect(!names.includes(key(bench, "j/1")), "what its caller has seen is told again");
      }),
  },
  {
    name: "gives a whole view to who comes from another incarnation",
    sentence: "Drawn when the store started: another value means that it forgot everything.",
    of: "GrantLeaseResponse.store_incarnation",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId, storeIncarnation }) => {
        await client.put({ leaseId, records: [record(bench, "k")] });
        const request = { prefix: key(bench, "k"), afterRevision: 1n << 60n, storeIncarnation: storeIncarnation ^ 1n };
        const first = await follow(bench, request).next("the first message");
        expect(first.snapshot && first.upserts.length === 1, "the first message is not the whole view");
      }),
  },
  {
    name: "keeps ids beyond 2^53",
    sentence: "Drawn by the process, or derived from its pod; stays the same over a re-registration. Not 0.",
    of: "InstanceRecord.instance_id",
    run: (bench) =>
      leased(bench, LONG_MS, async (client, { leaseId }) => {
        await client.put({ leaseId, records: [record(bench, "l")] });
        const { records } = await client.list({ prefix: key(bench, "l") });
        const id = records[0]?.value.case === "instance" ? records[0].value.value.instanceId : 0n;
        expect(id === INSTANCE_ID, `${INSTANCE_ID} came back as ${id}`);
      }),
  },
];

const INSTANCE_ID = 2n ** 63n + 1n;

type StoreClient = Client<typeof DiscoveryService>;

function clientOf({ transport }: ServiceBench): StoreClient {
  return createClient(DiscoveryService, transport);
}

function key({ run }: ServiceBench, name: string): string {
  return `conform/${run}/${name}`;
}

function record(bench: ServiceBench, name: string): Kept {
  const state = InstanceState.READY;
  const about = { role: InstanceRole.SERVICE, address: "127.0.0.1:1", state, services: ["conform.v1.Nothing"] };
  const value = { instanceId: INSTANCE_ID, incarnation: 1n, ...about };
  return create(RecordSchema, { key: key(bench, name), value: { case: "instance", value } });
}

function expectSame(found: Kept | undefined, wanted: Kept): void {
  expect(found?.key === wanted.key, `the record is ${found?.key ?? "not there"}`);
  const [left, right] = [found.value, wanted.value];
  const isSame = left.case === "instance" && right.case === "instance" && left.value.address === right.value.address;
  expect(isSame, "the record came back with another value");
}

/** Does something under a lease, which ends with it. */
async function leased(
  bench: ServiceBench,
  ttlMs: number,
  act: (client: StoreClient, lease: Awaited<ReturnType<StoreClient["grantLease"]>>) => Promise<void>,
): Promise<void> {
  const client = clientOf(bench);
  const lease = await client.grantLease({ ttlMs });
  try {
    await act(client, lease);
  } finally {
    await statusOfCall(client.revokeLease({ leaseId: lease.leaseId }));
  }
}

/** A watch, message by message. */
function follow(bench: ServiceBench, request: Partial<Omit<WatchRequest, "$typeName">>) {
  const messages = clientOf(bench).watch(request, { signal: bench.signal });
  const next = async (what: string): Promise<WatchResponse> => {
    const { value, done } = await inTime(bench, what, messages.next());
    expect(!done, `the watch ended before ${what} came`);
    return value;
  };
  const until = async (holds: (change: WatchResponse) => boolean, what: string): Promise<WatchResponse> => {
    for (let count = 0; ; count++) {
      expect(count < 10_000, `it floods: 10000 messages came before ${what}`);
      const change = await next(what);
      if (holds(change)) return change;
    }
  };
  return { next, until };
}
