import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KvSession, KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { loadNative } from "#lib/native/addon";
import { nixlPlaces } from "#lib/native/nixl";
import { openNativeMover } from "#lib/native/transfer";
import { buildNixlSim, fetchNixl, NIXL_MISSING } from "../../test/support/nixl.ts";
import { fetchOptions, promptOf, TransferRig, WIDE } from "../../test/support/transfer-rig.ts";
import { hashesOf } from "./session-message.ts";

const native = loadNative();

describe.skipIf(native.addon === undefined)(`agents of two processes (${native.unavailable ?? "built"})`, () => {
  let child: ChildProcess;

  const owners: ChildProcess[] = [];

  /** Another owner, which has NIXL where its library is given. */
  async function start(...library: string[]): Promise<ChildProcess> {
    const owner = fileURLToPath(new URL("../../test/support/block-owner.ts", import.meta.url));
    const started = fork(owner, library, { serialization: "advanced", stdio: ["ignore", 2, 2, "ipc"] });
    owners.push(started);
    await once(started, "message");
    return started;
  }

  beforeAll(async () => {
    child = await start();
  });
  afterAll(() => {
    for (const owner of owners) owner.kill("SIGKILL");
  });

  async function ask(tokens: number, begin: number, owner = child): Promise<unknown> {
    owner.send([tokens, begin]);
    const [answer] = await once(owner, "message");
    return answer;
  }

  async function keep(tokens: number, begin: number, owner = child): Promise<KvSession> {
    return fromBinary(KvSessionSchema, (await ask(tokens, begin, owner)) as Uint8Array);
  }

  test.each(["shared-memory", "process-memory", "tcp", "grpc"] as const)("blocks come by %s", async (rung) => {
    const rig = new TransferRig();
    const mover = openNativeMover(native.addon!);
    const reader = await rig.add({ mover, layout: WIDE, limits: { rung, regionBytes: 1 << 21 } });
    for (const start of [1, 100_000, 200_000]) {
      const prompt = promptOf(400, start);
      const session = await keep(400, start);
      const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
      expect(report).toMatchObject({ rung, blocks: 100, reason: "" });
      expect(reader.store.isRight(hashesOf(prompt, 4))).toBe(true);
    }
    await expect.poll(() => ask(0, 0)).toMatchObject({ openSessions: 0, pinnedBlocks: 0, pinned: 0 });
    const before = readdirSync("/proc/self/fd").length;
    await rig.close();
    expect(readdirSync("/proc/self/fd").length).toBeLessThan(before);
  });

  for (const which of [
    { title: "its look-alike", missing: "", library: buildNixlSim },
    {
      title: `itself (${NIXL_MISSING || "of a wheel"})`,
      missing: NIXL_MISSING,
      library: () => nixlPlaces(fetchNixl())[0]!,
    },
  ]) {
    test.skipIf(which.missing !== "")(`blocks come by NIXL, ${which.title}, until their owner is killed`, async () => {
      // As another machine would be read, not by the system's own way between processes.
      Object.assign(process.env, { UCX_TLS: "tcp,self" });
      const library = which.library();
      const rig = new TransferRig();
      const mover = openNativeMover(native.addon!);
      const nixl = await mover.openNixl({ library, name: `reader-${process.pid}-${which.title}` });
      const reader = await rig.add({ mover, nixl, layout: WIDE, limits: { rung: "nixl", regionBytes: 1 << 20 } });
      const owner = await start(library);
      for (const begin of [1, 100_000]) {
        const prompt = promptOf(400, begin);
        const session = await keep(400, begin, owner);
        const { report } = await reader.agent.fetch({ session }, prompt, fetchOptions());
        expect(report).toMatchObject({ rung: "nixl", blocks: 100, reason: "" });
        expect(reader.store.isRight(hashesOf(prompt, 4))).toBe(true);
      }
      await expect.poll(() => ask(0, 0, owner)).toMatchObject({ openSessions: 0, pinnedBlocks: 0, pinned: 0 });
      const session = await keep(2000, 300_000, owner);
      reader.store.beforeWrite = () => {
        if (reader.store.counts.written > 264) owner.kill("SIGKILL");
      };
      const { report } = await reader.agent.fetch({ session }, promptOf(2000, 300_000), fetchOptions());
      expect(report).toMatchObject({ rung: "nixl", reason: "UNAVAILABLE" });
      expect(report.blocks).toBeGreaterThan(64);
      expect(reader.store.reserved).toBe(0);
      await rig.close();
    });
  }

  test("an owner that is killed mid-way costs the rest, and nothing stays open", async () => {
    const rig = new TransferRig();
    const reader = await rig.add({
      mover: openNativeMover(native.addon!),
      layout: WIDE,
      limits: { regionBytes: 1 << 20 },
    });
    const session = await keep(2000, 300_000);
    reader.store.beforeWrite = () => {
      if (reader.store.counts.written > 64) child.kill("SIGKILL");
    };
    const { report } = await reader.agent.fetch({ session }, promptOf(2000, 300_000), fetchOptions());
    expect(report.reason).toBe("UNAVAILABLE");
    expect(report.blocks).toBeGreaterThan(64);
    expect(report.blocks).toBeLessThan(500);
    expect(reader.store.reserved).toBe(0);
    await rig.close();
  });
});
