import { afterEach, describe, expect, it } from "vitest";
import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { RequestKind } from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { openClient } from "#lib/rpc/open-client";
import { Cluster } from "../support/cluster.ts";
import { handOver, LegCaller } from "../support/leg-caller.ts";

const cluster = new Cluster();
const callers: LegCaller[] = [];

afterEach(async () => {
  for (const caller of callers.splice(0)) caller.close();
  await cluster.close();
});

async function worker(engine: string, role: string) {
  const { address, program } = await cluster.worker("--engine", engine, "--role", role, "--transfer-lease-ms", "60000");
  const caller = new LegCaller(address);
  callers.push(caller);
  await caller.ready;
  return { address, program, caller };
}

const words = Array.from({ length: 60 }, (_, at) => `Animal ${at} is a fox, a hen or a frog.`).join(" ");
const ask = (more = {}) => ({
  model: "stator-demo",
  promptText: `${words} What is a fox?`,
  stopping: { maxTokens: 24, ignoreEos: true },
  outputs: { logprobs: true, topLogprobs: 20 },
  ...more,
});

describe("two workers of the llama engine", () => {
  it("give the answer of one, to the bit, and go on when the first is gone", async () => {
    const [prefill, decode] = await Promise.all([worker("llama", "prefill"), worker("llama", "decode")]);
    const cases = [
      ask(),
      ask({ sampling: { temperature: 0.9, seed: 3n, repetitionPenalty: 1.2 }, choice: 2, cacheSalt: "salt" }),
      ask({ guidance: { grammar: "root ::= [a-z ]+" }, sampling: { temperature: 1, seed: 4n }, cacheSalt: "form" }),
    ];
    for (const request of cases) {
      // Another salt has nothing cached: it is computed here, all of it.
      const wanted = await decode.caller.run({ ...request, cacheSalt: `alone ${cases.indexOf(request)}` });
      const found = await handOver(prefill.caller, decode.caller, request);
      expect(found.first.end).toBe("length");
      expect(found.second?.transfer).toMatchObject({ reason: "", heldBlocks: 0, rung: "shared-memory" });
      expect(found.second?.transfer?.blocks).toBeGreaterThan(30);
      const { tokens, logprobs, tops, end } = wanted;
      expect({ tokens: found.tokens, logprobs: found.logprobs, tops: found.tops, end: found.end }).toEqual({
        ...{ tokens, logprobs, tops, end },
      });
    }
    const late = ask({ cacheSalt: "late" });
    const first = await prefill.caller.run({ ...late, kind: RequestKind.PREFILL });
    prefill.program.signal("SIGKILL");
    await prefill.program.ended;
    const second = await decode.caller.run({
      ...{ ...late, generatedTokenIds: writeU32(first.tokens), session: first.session! },
    });
    expect(second.transfer).toMatchObject({ blocks: 0, reason: expect.stringMatching(/STREAM_LOST|UNAVAILABLE/) });
    const wanted = await decode.caller.run(ask({ cacheSalt: "alone at last" }));
    expect([...first.tokens, ...second.tokens]).toEqual(wanted.tokens);
  });
});

it("a worker is given another role by its operator, and takes legs in it", async () => {
  const { address, caller } = await worker("mock", "aggregated");
  const { client, close } = openClient(WorkerAdminService, address);
  expect(await client.setRole({ role: "prefill", drainMs: 1000 })).toMatchObject({ previousRole: "aggregated" });
  await expect.poll(() => caller.link.state).toBe("closed");
  close();
  const again = new LegCaller(address);
  callers.push(again);
  await again.ready;
  const leg = await again.run({ ...ask(), outputs: {}, model: "stator-mock", kind: RequestKind.PREFILL });
  expect([leg.end, leg.session?.incarnation !== 0n]).toEqual(["length", true]);
});
