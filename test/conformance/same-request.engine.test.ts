import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { readModelHeader } from "#lib/engines/model-file";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { createBytePairEncoder } from "#lib/text/byte-pair";
import { compileTemplate } from "#lib/text/template";
import { createTokenizer } from "#lib/text/tokenizer";
import { chatTemplateOf, readVocabulary } from "#lib/text/vocabulary";
import { Cluster } from "../support/cluster.ts";
import { DEMO_MODEL, openNative } from "../support/engine-driver.ts";
import { SAME_DOORS } from "../support/same/doors.ts";
import { SAME_EMBEDDINGS } from "../support/same/embeddings.ts";
import type { SameAnswer, SameAsk, ServedModel } from "../support/same/served.ts";
import { TestObjects } from "../support/shared-object.ts";

/** What is asked, as a conversation; at least one of them ends by itself, one at its limit, one at a stop text. */
const CASES: readonly Omit<SameAsk, "text" | "tokens">[] = [
  { messages: [{ role: "user", content: "What is the capital of Japan?" }], maxTokens: 48, stop: [] },
  { messages: [{ role: "user", content: "Tell me about the sea. Über 東京 🦆?" }], maxTokens: 7, stop: [] },
  {
    messages: [
      { role: "system", content: "You are brief." },
      { role: "user", content: "What is Stator?" },
      { role: "assistant", content: "A server." },
      { role: "user", content: "What is disaggregated serving?" },
    ],
    maxTokens: 64,
    stop: ["."],
  },
];

const native = openNative();

describe.skipIf(native.reason !== undefined)(`the same request over llama (${native.reason ?? "built"})`, () => {
  const cluster = new Cluster();
  const objects = new TestObjects();
  const asks: SameAsk[] = [];
  const expected: SameAnswer[] = [];
  let served: ServedModel;

  beforeAll(async () => {
    const header = await readModelHeader(DEMO_MODEL);
    const template = compileTemplate(chatTemplateOf(header) ?? "", systemClock);
    const vocabulary = readVocabulary(header);
    const tokenizer = createTokenizer(vocabulary, { encoder: createBytePairEncoder(vocabulary) });
    for (const ask of CASES) {
      const { text } = template.render(ask.messages);
      asks.push({ ...ask, text, tokens: [...tokenizer.encode(text, { parseSpecial: true, addSpecial: true })] });
    }
    served = await serve(cluster, objects);
    for (const ask of asks) expected.push(await reference(served, ask));
  });
  afterAll(async () => {
    served?.channel.close();
    served?.worker.close();
    await cluster.close();
    objects.remove();
    expect(cluster.complaints).toEqual([]);
  });

  it("ends in every way there is", () => {
    const ends = expected.map(({ finish, text, ids = [] }, at) => {
      expect(text, `case ${at}`).not.toBe("");
      return `${finish}${ids.length < CASES[at]!.maxTokens ? ", early" : ""}${CASES[at]!.stop.length > 0 ? ", by text" : ""}`;
    });
    expect(ends.sort()).toEqual(["length", "stop, early", "stop, early, by text"]);
  });

  it.each(Object.keys(SAME_DOORS))("is answered the same: %s", async (name) => {
    const door = SAME_DOORS[name]!;
    for (const [at, ask] of asks.entries()) {
      const { ids, ...more } = expected[at]!;
      expect(await door.ask(served, ask), `case ${at}`).toEqual(door.ids ? { ...more, ids } : more);
    }
  });

  it.each(Object.keys(SAME_EMBEDDINGS))("becomes the same vector: %s", async (name) => {
    for (const ask of asks) {
      const vector = await SAME_EMBEDDINGS[name]!(served, ask);
      expect(vector.length).toBeGreaterThan(8);
      expect(vector).toEqual(await SAME_EMBEDDINGS.embeddings!(served, ask));
    }
  });
});

/** What chat says, and the tokens that only other doors tell. */
async function reference(served: ServedModel, ask: SameAsk): Promise<SameAnswer> {
  const { ids } = await SAME_DOORS["ModelInfer, raw"]!.ask(served, ask);
  return { ...(await SAME_DOORS.chat!.ask(served, ask)), ids };
}

async function serve(cluster: Cluster, objects: TestObjects): Promise<ServedModel> {
  const { address } = await cluster.hub();
  const discovery = ["--discovery", `hub://${address}`];
  const worker = await cluster.worker(...discovery, "--engine", "llama");
  const frontend = await cluster.frontend(...discovery);
  const http = `http://${frontend.address}`;
  while ((await fetch(`${http}/health`)).status !== 200) await new Promise((resolve) => setTimeout(resolve, 50));
  const { operators } = (await (await fetch(`${http}/health`)).json()) as { operators: string };
  const channel = new Channel(operators, loopbackCredentials, systemClock);
  const client = createClient(GRPCInferenceService, channel);
  const [model] = (await client.repositoryIndex({ ready: true })).models;
  const toWorker = new Channel(worker.address, loopbackCredentials, systemClock);
  return { name: model?.name ?? "", http, channel, client, worker: toWorker, objects };
}
