import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KvSession, KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";
import { fetchOptions, promptOf, TransferRig, WIDE } from "../../test/support/transfer-rig.ts";
import { hashesOf } from "./session-message.ts";

const native = loadNative();

describe.skipIf(native.addon === undefined)(`agents of two processes (${native.unavailable ?? "built"})`, () => {
  let child: ChildProcess;

  beforeAll(async () => {
    const owner = fileURLToPath(new URL("../../test/support/block-owner.ts", import.meta.url));
    child = fork(owner, { serialization: "advanced", stdio: ["ignore", 2, 2, "ipc"] });
    await once(child, "message");
  });
  afterAll(() => child?.kill("SIGKILL"));

  async function ask(tokens: number, start: number): Promise<unknown> {
    child.send([tokens, start]);
    const [answer] = await once(child, "message");
    return answer;
  }

  async function keep(tokens: number, start: number): Promise<KvSession> {
    return fromBinary(KvSessionSchema, (await ask(tokens, start)) as Uint8Array);
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
    await expect.poll(() => ask(0, 0)).toEqual({ openSessions: 0, pinnedBlocks: 0, pinned: 0 });
    const before = readdirSync("/proc/self/fd").length;
    await rig.close();
    expect(readdirSync("/proc/self/fd").length).toBeLessThan(before);
  });

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
