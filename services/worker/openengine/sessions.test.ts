import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, expect, it } from "vitest";
import { ErrorCode } from "#gen/openengine/v1/error_pb";
import type { GenerateRequestSchema } from "#gen/openengine/v1/generation_pb";
import type { KvSessionRefSchema } from "#gen/openengine/v1/kv_pb";
import { AbortStatus } from "#gen/openengine/v1/lifecycle_pb";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { TokenChain } from "#lib/tokens/token-chain";
import { printSessionRef } from "#lib/transfer/session-ref";
import { FakeTransferAgent } from "../../../test/support/fake-transfer-agent.ts";
import { type Listened, settle, WorkerRig } from "../../../test/support/worker-rig.ts";

const layout = {
  layers: 1,
  blockTokens: 16,
  keyRowBytes: 2,
  valueRowBytes: 2,
  elementType: "f16",
  engineFormat: "f",
  order: "layer-kind",
} as const;
const PROMPT = Uint32Array.from({ length: 40 }, (_, at) => at);
const ASK: MessageInitShape<typeof GenerateRequestSchema> = {
  requestId: "r",
  input: { case: "tokenIds", value: { ids: [...PROMPT] } },
  stopping: { maxTokens: 5, minTokens: 2 },
};

let agent: FakeTransferAgent;
let rig: WorkerRig;

async function started(role: "prefill" | "decode") {
  agent = new FakeTransferAgent();
  rig = new WorkerRig({ layout }, { transfer: agent, role });
  Object.assign(rig.engine, { blocks: {} });
  await rig.start();
}

afterEach(() => rig.worker.close());

function sessionRef(tokens = PROMPT, cacheSalt = "salt"): MessageInitShape<typeof KvSessionRefSchema> {
  const chain = new TokenChain(new TokenHasher(), tokens, { blockTokens: 16, seed: hashSeed(cacheSalt, undefined) });
  const sequenceHashes = viewBytes(chain.hashes(0));
  const init = { sessionId: "s", transfer: "stator", layout: { blockTokens: 16 }, sequenceHashes };
  return printSessionRef(create(KvSessionSchema, init));
}

const eventsOf = ({ messages }: Listened) => messages.map(({ event }) => event);

it("a prefill ends with its session, whatever was asked of the answer", async () => {
  await started("prefill");
  const guided = { guide: { case: "jsonObject", value: {} } } as const;
  const call = await rig.generate({ ...ASK, guided, kv: { cacheSalt: "salt" }, sampling: { numSequences: 3 } });
  const [id, ...more] = rig.engine.ids;
  expect(more).toEqual([]);
  expect(rig.engine.open.get(id!)).toMatchObject({ stopping: { maxTokens: 1, ignoreEos: true }, guidance: undefined });
  rig.engine.step({ tokens: { [id!]: [7] } });
  rig.engine.step({
    finishes: [{ id: id!, reason: "length", promptTokens: 40, cachedTokens: 16, completionTokens: 1 }],
  });
  await settle();
  const kvSession = { sessionId: "1", transferBackend: "stator", attributesStruct: { blocks: 0, leaseMs: 1000 } };
  expect(eventsOf(call)).toMatchObject([{ case: "prefillReady", value: { kvSession } }]);
  expect(call.messages[0]?.usage).toMatchObject({ promptTokens: 40, completionTokens: 0, cachedPromptTokens: 16 });
  expect(call.status).toBe("OK");
  expect(agent.kept).toMatchObject([{ tokens: PROMPT, cacheSalt: "salt", firstTokens: new Uint32Array(0) }]);
  expect(await rig.control.getLoad({})).toMatchObject({ activeKvSessions: 1 });
  expect((await rig.control.getServerInfo({})).kvConnector).toMatchObject({ enabled: true, transferBackend: "stator" });
});

it("one that is aborted, fails, or that there is no place for ends with its error, and nothing is kept", async () => {
  await started("prefill");
  const aborted = await rig.generate({ ...ASK, requestId: "a" });
  await rig.control.abort({ target: { case: "requestId", value: "a" } });
  rig.engine.finishCancelled();
  const gone = await rig.generate({ ...ASK, requestId: "g" });
  gone.cancel();
  await settle();
  expect(rig.engine.cancels.at(-1)).toMatchObject({ mode: "kill" });
  rig.engine.finishCancelled();
  await settle();
  expect(eventsOf(aborted)).toMatchObject([{ case: "error", value: { code: ErrorCode.CANCELLED } }]);
  agent.isFull = true;
  const refused = await rig.generate(ASK);
  expect([refused.status, refused.messages]).toEqual(["OVERLOADED", []]);
  expect((await rig.generate({ ...ASK, kv: { session: sessionRef() } })).status).toBe("UNSUPPORTED_FEATURE");
  expect([agent.kept, rig.engine.open.size]).toEqual([[], 0]);
});

it("a session that nobody fetches is let go by Abort", async () => {
  await started("prefill");
  await rig.generate(ASK);
  rig.engine.step({ finishes: [{ id: rig.engine.ids[0]!, reason: "length" }] });
  const abort = (sessionId: string) => rig.control.abort({ target: { case: "kvSession", value: { sessionId } } });
  expect((await abort("1")).status).toBe(AbortStatus.ABORTED);
  expect(agent.sessions.size).toBe(0);
  await expect(abort("1")).rejects.toMatchObject({ reason: "NOT_FOUND" });
});

it("every choice of a generation goes on from its session, and the answer is all drawn here", async () => {
  await started("decode");
  const call = await rig.generate({
    ...ASK,
    kv: { session: sessionRef(), cacheSalt: "salt" },
    sampling: { numSequences: 2 },
  });
  expect(rig.engine.open.size).toBe(0);
  expect(agent.fetches).toHaveLength(2);
  for (const { from, prompt, resolve } of agent.fetches) {
    expect(prompt).toEqual({ tokens: PROMPT, cacheSalt: "salt", adapter: undefined });
    expect("session" in from && from.session.sequenceHashes.length).toBe(16);
    resolve({ firstTokens: new Uint32Array(0), report: {} });
  }
  await settle();
  expect([...rig.engine.open.values()]).toMatchObject([{ choice: 0 }, { choice: 1 }]);
  for (const id of rig.engine.ids) rig.engine.step({ tokens: { [id]: [9] }, finishes: [{ id, reason: "end" }] });
  await settle();
  expect(eventsOf(call).map((event) => event.case)).toEqual(["token", "finished", "token", "finished"]);
  expect(call.status).toBe("OK");
});

it("a session of another prompt, another salt or another transport is refused before anything ran", async () => {
  await started("decode");
  const status = async (kv: (typeof ASK)["kv"]) => (await rig.generate({ ...ASK, kv })).status;
  expect(await status({ session: sessionRef(), cacheSalt: "other" })).toBe("INVALID_ARGUMENT");
  expect(await status({ session: sessionRef(PROMPT.map((token) => token + 1)), cacheSalt: "salt" })).toBe(
    "INVALID_ARGUMENT",
  );
  expect(await status({ session: { ...sessionRef(), transferBackend: "nixl" } })).toBe("UNSUPPORTED_FEATURE");
  expect(await status({ session: { ...sessionRef(), attributesStruct: { blocks: 2 } } })).toBe("INVALID_ARGUMENT");
  expect([agent.fetches, rig.engine.open.size]).toEqual([[], 0]);
});

it("aborts what still waits for its blocks", async () => {
  await started("decode");
  const call = await rig.generate({ ...ASK, kv: { session: sessionRef(), cacheSalt: "salt" } });
  await rig.control.abort({ target: { case: "requestId", value: "r" } });
  await settle();
  expect(agent.fetches[0]?.signal.aborted).toBe(true);
  expect(eventsOf(call)).toMatchObject([{ case: "finished" }]);
  expect(call.status).toBe("OK");
});
