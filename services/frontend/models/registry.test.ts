import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  AdapterCardSchema,
  Determinism,
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
  ModelInput,
} from "#gen/stator/discovery/v1/discovery_pb";
import { printModel, printModels } from "#lib/api/openai/bodies";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { DiscoveryRecord } from "#lib/discovery/discovery";
import { ModelView } from "#lib/discovery/model-view";
import { adapterKey, instanceKey, modelKey } from "#lib/discovery/record-keys";
import { silentLog } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import { createByteText } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalWatch } from "../../../test/support/rehearsal/open.ts";
import { Artifacts } from "./artifacts.ts";
import { ModelRegistry } from "./registry.ts";

const digestOf = (text: string): Uint8Array => createHash("sha256").update(text).digest();

interface Worker {
  readonly state?: InstanceState;
  readonly tokenizer?: string;
  readonly contextTokens?: number;
  readonly logprobs?: boolean;
  readonly aliases?: string[];
  readonly defaultSampling?: Record<string, number>;
  readonly deterministic?: Determinism;
}

function worker(id: bigint, name: string, options: Worker = {}): DiscoveryRecord[] {
  const {
    state = InstanceState.READY,
    tokenizer = "tok",
    contextTokens = 100,
    logprobs = true,
    aliases = [],
    defaultSampling = {},
    deterministic,
  } = options;
  const role = InstanceRole.WORKER;
  const instance = create(InstanceRecordSchema, { instanceId: id, role, state, models: [name], address: `host:${id}` });
  const card = create(ModelCardSchema, {
    name,
    aliases,
    instanceId: id,
    contextTokens,
    defaultSampling,
    ...(deterministic !== undefined && { deterministic }),
    createdUnixSeconds: 10n + id,
    capabilities: {
      generate: true,
      logprobs,
      maxTopLogprobs: 5,
      missing: logprobs ? {} : { logprobs: "not computed" },
    },
    artifacts: [
      { kind: "tokenizer", format: "bytes", digest: digestOf(tokenizer) },
      { kind: "template", format: "jinja", digest: digestOf("template") },
    ],
  });
  return [
    { key: instanceKey(id), value: { case: "instance", value: instance } },
    { key: modelKey(name, id), value: { case: "model", value: card } },
  ];
}

/** A registry over a view that the test changes, with artifacts by their text. */
function rig(contents: Record<string, string> = { tok: "tok", template: "template" }) {
  const clock = new FakeClock();
  const watch = new RehearsalWatch();
  const scope = new Scope("test", silentLog);
  const fetched: string[] = [];
  const texts = { open: 0, tries: 0, refusal: undefined as StatorError | undefined };
  const unusable: StatorError[] = [];
  const onUnusable = (error: StatorError) => unusable.push(error) > 0;
  const fetchArtifact = async (digest: Uint8Array, holders: readonly { address: string }[]): Promise<Uint8Array> => {
    for (const [name, content] of Object.entries(contents)) {
      if (Buffer.compare(digestOf(name), digest) !== 0) continue;
      fetched.push(`${name} from ${holders.map(({ address }) => address).join(" ")}`);
      return Buffer.from(content);
    }
    throw new StatorError("NOT_FOUND", { what: "The artifact" });
  };
  const openText = async () => {
    texts.tries++;
    if (texts.refusal) throw texts.refusal;
    texts.open++;
    return { ...createByteText(), close: () => void texts.open-- };
  };
  const unlinked = new Set<string>();
  const view = new ModelView({ watch, clock });
  const artifacts = new Artifacts(fetchArtifact, 1000);
  const registry = new ModelRegistry({
    view,
    placeable: () => [...view.models.names.keys()].filter((name) => !unlinked.has(name)),
    artifacts,
    openText,
    onUnusable,
    clock,
    scope,
    log: silentLog,
  });
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  };
  return { clock, watch, registry, fetched, texts, unusable, unlinked, contents, settle };
}

const reasonOf = (run: () => unknown): string => {
  try {
    run();
    return "found";
  } catch (error) {
    return (error as StatorError).reason;
  }
};

describe("a registry", () => {
  it("opens one text for equal sources, whoever serves them, and closes it with the last", async () => {
    const { watch, registry, fetched, texts, settle } = rig();
    watch.put(...worker(1n, "a"), ...worker(2n, "a"), ...worker(3n, "b", { aliases: ["c"] }));
    expect(reasonOf(() => registry.find("a"))).toBe("MODEL_LOADING");
    await settle();
    expect(registry.find("a").text).toBe(registry.find("c").text);
    expect([texts.open, fetched]).toEqual([1, ["tok from host:1 host:2 host:3", "template from host:1 host:2 host:3"]]);
    expect(registry.routable()).toEqual(["a", "b", "c"]);
    watch.remove(modelKey("a", 1n), modelKey("a", 2n), modelKey("b", 3n));
    await settle();
    expect([texts.open, reasonOf(() => registry.find("a")), registry.list().listed]).toEqual([0, "MODEL_LOADING", []]);
    watch.put(...worker(1n, "a"));
    await settle();
    expect([texts.open, fetched.length]).toEqual([1, 2]);
  });

  it("knows models of tensors, which answer without a text, and refuses to find one for it", async () => {
    const { watch, registry, fetched, unlinked, settle } = rig();
    const [instance, card] = worker(1n, "simple");
    if (card?.value.case === "model") card.value.value.input = ModelInput.TENSOR;
    watch.put(...worker(2n, "a"), instance!, card!);
    await settle();
    expect([registry.routable(), fetched.length]).toEqual([["a", "simple"], 2]);
    expect(() => registry.find("simple")).toThrow(
      "it takes tensors, by inference.GRPCInferenceService and POST /v2/models/simple",
    );
    expect(registry.list().listed.map(({ id, tensors }) => [id, tensors])).toEqual([
      ["a", undefined],
      ["simple", true],
    ]);
    expect(JSON.parse(printModels(registry.list()))).toMatchObject({ data: [{ id: "a" }] });
    unlinked.add("simple");
    expect(registry.list().away).toMatchObject([{ id: "simple", state: "connecting", tensors: true }]);
    expect(JSON.parse(printModels(registry.list())).stator).toBeUndefined();
  });

  it("tells the sampling defaults of the first worker, as far as it knows them", async () => {
    const { watch, registry, settle } = rig();
    const defaultSampling = { temperature: 0.7, top_k: 64, top_p: 9, of_a_later_version: 1 };
    watch.put(...worker(1n, "a", { defaultSampling }), ...worker(2n, "a", { defaultSampling: { temperature: 0 } }));
    await settle();
    const known = { temperature: 0.7, top_k: 64 };
    expect([registry.find("a").defaultSampling, registry.list().listed[0]?.defaultSampling]).toEqual([known, known]);
  });

  it("promises as exact answers as the least exact of its workers", async () => {
    const { watch, registry, settle } = rig();
    const told = () => registry.list().listed[0]?.deterministic;
    watch.put(...worker(1n, "a", { deterministic: Determinism.BATCH }));
    await settle();
    expect(told()).toBe("batch");
    watch.put(...worker(2n, "a", { deterministic: Determinism.ALONE }));
    await settle();
    expect(told()).toBe("alone");
    watch.put(...worker(3n, "a"));
    await settle();
    expect(told()).toBe("no");
  });

  it("promises only what every worker of a name keeps", async () => {
    const { watch, registry, settle } = rig();
    watch.put(...worker(1n, "a"), ...worker(2n, "a", { contextTokens: 60, logprobs: false }));
    await settle();
    expect(registry.find("a")).toMatchObject({
      contextTokens: 60,
      features: { generate: true, logprobs: false, missing: { logprobs: "not computed" } },
    });
  });

  it("measures nothing against a context that nobody knows, and shows none", async () => {
    const { watch, registry, settle } = rig();
    watch.put(...worker(1n, "a", { contextTokens: 0 }));
    await settle();
    expect(registry.find("a").contextTokens).toBe(0xffff_ffff);
    const { listed } = registry.list();
    expect(listed).toMatchObject([{ id: "a", contextTokens: undefined }]);
    expect(JSON.parse(printModel(listed[0]!))).not.toHaveProperty("max_model_len");
  });

  it("takes nothing whose digest is another, and tries again", async () => {
    const { watch, registry, contents, clock, settle } = rig({ tok: "changed on the way", template: "template" });
    watch.put(...worker(1n, "a"));
    await settle();
    expect(reasonOf(() => registry.find("a"))).toBe("UNAVAILABLE");
    contents.tok = "tok";
    clock.advance(250);
    await settle();
    expect(reasonOf(() => registry.find("a"))).toBe("found");
  });

  it("tries again less and less often, and not at all for what is gone", async () => {
    const { watch, clock, settle } = rig({});
    watch.put(...worker(1n, "a"));
    await settle();
    for (const waitMs of [250, 500, 1000]) {
      expect(clock.pending).toBe(1);
      clock.advance(waitMs - 1);
      expect(clock.pending).toBe(1);
      clock.advance(1);
      expect(clock.pending).toBe(0);
      await settle();
    }
    watch.remove(modelKey("a", 1n));
    await settle();
    expect(clock.pending).toBe(0);
  });

  it("tells once of a text that can never be opened, and does not try it again", async () => {
    const { watch, clock, registry, texts, unusable, settle } = rig();
    texts.refusal = new StatorError("UNSUPPORTED_FEATURE", { feature: "Its tokenizer", detail: "unknown" });
    watch.put(...worker(1n, "a"), ...worker(2n, "a"));
    await settle();
    expect([clock.pending, texts.tries, unusable]).toEqual([0, 1, [texts.refusal]]);
    expect(reasonOf(() => registry.find("a"))).toBe("UNAVAILABLE");
  });

  it("lists only what would be answered now, and says why the others would not", async () => {
    const { watch, registry, unlinked, contents, settle } = rig();
    const shown = () => {
      const { listed, away } = registry.list();
      expect(registry.routable()).toEqual(listed.map(({ id }) => id).sort());
      return [listed.map(({ id }) => id), away.map(({ id, state, reason }) => `${id} ${state}: ${reason}`)];
    };
    watch.put(...worker(1n, "a"), ...worker(2n, "b", { aliases: ["c"] }), ...worker(3n, "d", { tokenizer: "other" }));
    watch.put(...worker(4n, "e", { state: InstanceState.LOADING }).slice(0, 1));
    watch.put(...worker(5n, "f", { state: InstanceState.DRAINING }));
    unlinked.add("b").add("c");
    const [loading, draining] = [
      "e loading: Its workers take no requests now.",
      "f draining: Its workers take no requests now.",
    ];
    const opening = (name: string) => `${name} loading: Its tokenizer is not open yet.`;
    expect(shown()).toEqual([[], [opening("a"), opening("b"), opening("c"), opening("d"), loading, draining]]);
    await settle();
    const far = (name: string) => `${name} connecting: No worker of it can be reached from here.`;
    expect(shown()).toEqual([["a"], [far("b"), far("c"), "d failed: The artifact was not found.", loading, draining]]);
    unlinked.clear();
    contents.other = "other";
    expect(shown()[0]).toEqual(["a", "b", "c"]);
    expect(reasonOf(() => registry.find("e"))).toBe("MODEL_LOADING");
  });

  it("lists adapters after their base and finds them by their own name", async () => {
    const { watch, registry, settle } = rig();
    const adapter = create(AdapterCardSchema, { name: "a-lora", instanceId: 1n, baseModel: "z" });
    watch.put(...worker(1n, "z"), { key: adapterKey("a-lora", 1n), value: { case: "adapter", value: adapter } });
    await settle();
    expect(registry.list().listed.map(({ id, parent }) => [id, parent])).toEqual([
      ["z", undefined],
      ["a-lora", "z"],
    ]);
    expect(registry.find("a-lora").text).toBe(registry.find("z").text);
    watch.remove(adapterKey("a-lora", 1n));
    expect(reasonOf(() => registry.find("a-lora"))).toBe("MODEL_NOT_FOUND");
  });

  it("keeps a name without a ready worker, but does not call it routable", async () => {
    const { watch, registry, settle } = rig();
    watch.put(
      ...worker(1n, "a", { state: InstanceState.DRAINING }),
      ...worker(2n, "b", { state: InstanceState.FAILED }),
    );
    await settle();
    expect([reasonOf(() => registry.find("a")), reasonOf(() => registry.find("b")), registry.routable()]).toEqual([
      "found",
      "NO_WORKERS",
      [],
    ]);
  });
});
