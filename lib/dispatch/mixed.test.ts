import { beforeEach, describe, expect, it } from "vitest";
import { GuidanceForm, RequestKind, type Submit } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import { printOldGrammar, readGuidance } from "#lib/link/guidance";
import { plainAsk } from "#lib/serving/plain-ask";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";
import { answer, DispatchRig } from "../../test/support/dispatch-rig.ts";
import { submitTemplate } from "./submit.ts";

/** As a worker of a build that has no features. */
const OLDER = { features: [] };
const LONG = 70_000;

describe("an answer of more than 65,536 tokens", () => {
  let cluster: DispatchRig;
  beforeEach(() => {
    cluster = new DispatchRig();
  });

  function begin() {
    cluster.add(1n, 1n, 8, { tokensPerStep: 255 });
    const { client } = cluster.start({ maxTokens: LONG });
    cluster.advance(5_300);
    const [before] = client.tokens;
    expect(before?.length).toBeGreaterThan(65_536);
    expect(before?.length).toBeLessThan(LONG);
    return client;
  }

  it("continues on another worker when its own dies", () => {
    const client = begin();
    cluster.add(2n, 1n, 8, { tokensPerStep: 255 });
    cluster.kill(1n);
    cluster.advance(2_000);
    expect(client.error).toBeUndefined();
    expect(client.placements.map(({ worker }) => worker)).toEqual([1n, 2n]);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, LONG));
    expect(client.usage).toMatchObject({ completionTokens: LONG });
  });

  it("goes past workers of an older build to one that can take it, and blames nobody's request when there is none", () => {
    const client = begin();
    cluster.add(2n, 1n, 8, OLDER);
    cluster.kill(1n);
    cluster.advance(1_000);
    expect(client.error).toBeUndefined();
    cluster.add(3n, 1n, 8, { tokensPerStep: 255 });
    cluster.advance(3_000);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, LONG));

    const lonely = new DispatchRig();
    cluster = lonely;
    const other = begin();
    lonely.add(2n, 1n, 8, OLDER);
    lonely.kill(1n);
    lonely.advance(20_000);
    expect(other.error?.row).toMatchObject({ blame: "server", http: 503 });
    expect(other.error?.message).toContain("older build");
  });
});

describe("guidance in a cluster of two builds", () => {
  const schema: Guidance = { kind: "jsonSchema", schema: '{"type":"object","properties":{"a":{"type":"integer"}}}' };
  const grammar = compileGuidance(schema);
  let taken: [bigint, Submit["guidance"]][];
  let compiled: number;
  beforeEach(() => {
    taken = [];
    compiled = 0;
  });

  const compile = (guidance: Guidance) => {
    compiled++;
    return compileGuidance(guidance);
  };
  const heard = (id: bigint) => ({ onTaken: ({ guidance }: Submit) => void taken.push([id, guidance]) });

  it("is the same request to both, each in its own form, before and after a move either way", () => {
    for (const [first, second] of [
      [1n, 2n],
      [2n, 1n],
    ] as const) {
      taken = [];
      compiled = 0;
      const cluster = new DispatchRig("round-robin", { compile });
      const add = (id: bigint) => cluster.add(id, 1n, 8, { ...heard(id), ...(id === 1n && OLDER) });
      add(first);
      const { client } = cluster.start({ guidance: schema, maxTokens: 20, choicesPerPrompt: 2 });
      cluster.advance(200);
      add(second);
      cluster.kill(first);
      cluster.advance(1_000);
      expect(client.tokens.slice(0, 2)).toEqual([answer([1, 2, 3], 0, 20), answer([1, 2, 3], 1, 20)]);
      expect(taken.map(([id]) => id)).toEqual([first, first, second, second]);
      for (const [id, guidance] of taken) {
        if (id === 1n) expect(guidance).toEqual(printOldGrammar(grammar));
        else expect(guidance && readGuidance(guidance)).toEqual(schema);
      }
      expect(compiled).toBe(1);
    }
  });

  it("is refused at once where all workers are too old for it, or the one that was named is", () => {
    const cluster = new DispatchRig("round-robin", { compile: () => "x".repeat(100_000) });
    cluster.add(1n, 1n, 8, OLDER);
    const asked = () => cluster.start({ guidance: schema }).client;
    const pinned = () => cluster.start({ guidance: schema, worker: 1n }).client;
    const clients = [asked(), pinned()];
    cluster.advance(100);
    cluster.add(2n, 1n, 8);
    clients.push(pinned(), asked());
    cluster.advance(500);
    const outdated = "WORKER_OUTDATED";
    expect(clients.map(({ error }) => error?.reason)).toEqual([outdated, outdated, outdated, undefined]);
    expect(clients[3]?.tokens[0]).toEqual(answer([1, 2, 3], 0, 8));
  });

  it("is refused by whoever compiles it, by keyword and path", () => {
    for (const features of [[], ["parts"], ["parts", "guidance"]]) {
      const cluster = new DispatchRig("round-robin", { compile });
      cluster.add(1n, 1n, 8, { features });
      const { client } = cluster.start({ guidance: { kind: "jsonSchema", schema: '{"not":{}}' } });
      cluster.advance(100);
      expect(client.error).toMatchObject({ reason: "UNSUPPORTED_SCHEMA", param: "response_format" });
      expect(client.error?.message).toContain("not at #");
      expect(client.placements).toEqual([]);
    }
    expect(compiled).toBe(2);
  });

  it("may be hundreds of kilobytes: its grammar goes in parts, made here and not on a worker's event loop", () => {
    const description = "x".repeat(300_000);
    const values = Array.from({ length: 4_500 }, (_, at) => `${at} is a value of a certain length`);
    const long = { kind: "jsonSchema", schema: JSON.stringify({ description, enum: values }) } as const;
    const cluster = new DispatchRig("round-robin", { compile });
    cluster.add(1n, 1n, 8, heard(1n));
    const { client } = cluster.start({ guidance: long });
    cluster.advance(1_000);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, 8));
    const [, guidance] = taken[0] ?? [];
    expect(guidance?.form).toBe(GuidanceForm.GRAMMAR);
    expect(guidance?.text.length).toBeGreaterThan(180_000);
    expect(guidance && readGuidance(guidance)).toEqual({ kind: "ebnfGrammar", grammar: compileGuidance(long) });
  });

  it("waits for a grammar that is made elsewhere, and starts nothing for who has left meanwhile", async () => {
    const made: ((grammar: string) => void)[] = [];
    const slow = () => new Promise<string>((resolve) => void made.push(resolve));
    const cluster = new DispatchRig("round-robin", { compile: slow });
    const worker = cluster.add(1n, 1n, 8, { ...heard(1n), ...OLDER });
    const [stays, leaves] = [cluster.start({ guidance: schema }), cluster.start({ guidance: schema })];
    cluster.advance(100);
    expect(worker.taken).toBe(0);
    leaves.handle.cancel();
    for (const resolve of made) resolve(grammar);
    await new Promise(setImmediate);
    cluster.advance(1_000);
    expect(stays.client.tokens[0]).toEqual(answer([1, 2, 3], 0, 8));
    expect(worker.taken).toBe(1);
    expect(cluster.dispatcher.openRequests).toBe(0);
  });

  it("fails by what is found elsewhere, and moves on when its worker died while it was made", async () => {
    const made: PromiseWithResolvers<string>[] = [];
    const slow = () => {
      made.push(Promise.withResolvers<string>());
      return made.at(-1)!.promise;
    };
    const cluster = new DispatchRig("round-robin", { compile: slow });
    cluster.add(1n, 1n, 8, OLDER);
    const [fails, moves] = [cluster.start({ guidance: schema }), cluster.start({ guidance: schema })];
    cluster.advance(100);
    cluster.kill(1n);
    cluster.add(2n, 1n, 8, { ...heard(2n), ...OLDER });
    const refusal = new StatorError("INVALID_GRAMMAR", { detail: "it is long" });
    made[0]?.reject(refusal);
    made[1]?.resolve(grammar);
    await new Promise(setImmediate);
    cluster.advance(2_000);
    expect(fails.client.error).toBe(refusal);
    expect(moves.client.tokens[0]).toEqual(answer([1, 2, 3], 0, 8));
    expect(taken).toEqual([[2n, printOldGrammar(grammar)]]);
  });
});

describe("a kind of request that a worker does not have", () => {
  it.each([
    ["prefill", RequestKind.PREFILL],
    ["encode", RequestKind.ENCODE],
    ["score", RequestKind.SCORE],
  ] as const)("%s is placed and sent like any other, and refused by name", (kind, number) => {
    const cluster = new DispatchRig();
    cluster.add(1n);
    const { client } = cluster.start({ kind });
    cluster.advance(100);
    expect(client.error).toMatchObject({ reason: "UNSUPPORTED_FEATURE", facts: { feature: kind } });
    expect(client.placements).toEqual([]);
    const { kind: sent, stopping, embedding } = submitTemplate(plainAsk({ kind }), "m");
    expect([sent, stopping !== undefined, embedding]).toEqual([number, kind === "prefill", undefined]);
  });
});
