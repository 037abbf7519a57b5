import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "#lib/engines/engine";
import { openMock } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { ROUTER_MODES } from "#lib/routing/options";
import type { EngineRecipe } from "#services/cli/compose/engine-recipe";
import { createFrontend, createWorker } from "#services/cli/compose/library";
import { type Program, readBoard, startProgram } from "../support/program.ts";
import { TextEngine } from "../support/text-engine.ts";
import { pieceVocabulary } from "../support/tiny-models.ts";

let cluster: Program;
let port: string;

beforeAll(async () => {
  cluster = startProgram(["up", "--engine", "mock", "--http-port", "0"]);
  await cluster.until(/Try it:/);
  port = readBoard(cluster).get("frontend")!.address.split(":").at(-1)!;
});
afterAll(() => cluster.close());

async function stator(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const program = startProgram(args);
  const { code } = await program.ended;
  return { code, out: program.stdout, err: program.stderr };
}

describe("what runs", () => {
  it("is told by ps: who serves what, in which state, with how much to do", async () => {
    const board = readBoard(cluster);
    const { code, out } = await stator("ps", "--http-port", port, "--json");
    const rows = JSON.parse(out) as { address: string }[];
    const addresses = ["worker-1", "worker-2"].map((name) => board.get(name)!.address);
    expect(rows.map(({ address }) => address).sort()).toEqual(addresses.sort());
    const load = { openRequests: 0, waitingRequests: 0, usedBlocks: 0, totalBlocks: 16_384 };
    expect(rows[0]).toMatchObject({ engine: "mock", models: ["stator-mock"], state: "ready", link: "ready", ...load });
    expect(rows[0]).toMatchObject({ software: "stator-mock 1", role: "aggregated", namespace: "" });
    const table = (await stator("ps", "--http-port", port)).out.trimEnd().split("\n");
    expect([code, table.length, table[0]?.split(/ {2,}/)]).toEqual([
      0,
      3,
      ["WORKER", "ROLE", "MODELS", "ADDRESS", "STATE", "OPEN", "WAITING", "RULE", "INDEXED", "SPEED", "BLOCKS", "KEPT"],
    ]);
  });

  it("is explained: why a request went to its worker, and where a prompt would go", async () => {
    const content = "Where do ducks sleep? ".repeat(20);
    const answer = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-id": "duck" },
      body: JSON.stringify({ model: "stator-mock", max_tokens: 1, messages: [{ role: "user", content }] }),
    });
    const worker = answer.headers.get("x-stator-worker");
    const { code, out } = await stator("explain", "duck", "--http-port", port);
    expect([code, out]).toEqual([0, expect.stringMatching(/^Request duck, .* ago: \d+ tokens\nttft, /)]);
    expect(out).toMatch(new RegExp(`^->  ${worker} `, "m"));
    expect(out).toMatch(/^Foreseen: the first token after .* Seen: the first token after .*\.$/m);
    const now = await stator("explain", "stator-mock", "--prompt", content, "--http-port", port, "--json");
    const { explanations } = JSON.parse(now.out) as { explanations: { chosen?: number; candidates: object[] }[] };
    const [explanation] = explanations;
    expect(explanation!.candidates).toHaveLength(2);
    expect(explanation!.candidates[explanation!.chosen ?? 0]).toMatchObject({ deviceTokens: expect.any(Number) });
    expect(await stator("explain", "goose", "--http-port", port)).toMatchObject({
      code: 1,
      err: expect.stringContaining("No decision about goose is kept; the oldest of "),
    });
    expect((await stator("explain")).err).toContain("Name a request: stator explain ID");
  });

  it("is told by models", async () => {
    const { out } = await stator("models", "--http-port", port);
    expect(out).toMatch(/^MODEL .*\nstator-mock +ready +32768 +- +\d{4}-/);
    const [row] = JSON.parse((await stator("models", "--http-port", port, "--json")).out) as object[];
    expect(row).toMatchObject({ id: "stator-mock", state: "ready", max_model_len: 32_768 });
  });

  it("is told of a port that is named, and nothing where nobody or somebody else answers", async () => {
    const other = await stator("ps", "127.0.0.1:1");
    expect(other).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^stator ps: .*cannot be reached.*\n$/) as string,
    });
    const nobody = await stator("models", "--http-port", "1");
    expect(nobody.err).toMatch(/^stator models: http:\/\/127.0.0.1:1 cannot be reached: start a frontend with .*\n$/);
    const worker = readBoard(cluster).get("worker-1")!.address.split(":").at(-1)!;
    expect((await stator("ps", "--http-port", worker)).code).toBe(1);
  });
});

describe("the cache", () => {
  const workers = async (): Promise<string[]> => {
    const rows = JSON.parse((await stator("ps", "--http-port", port, "--json")).out) as { worker: string }[];
    return rows.map(({ worker }) => worker);
  };

  /** Tokens of a long prompt, always the same, that a worker found in its cache. */
  const askCached = async (worker: string): Promise<number> => {
    const content = "Say again what was said before, and then once more, until everybody here has heard it. ".repeat(8);
    const messages = [{ role: "user", content }];
    const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "stator-mock", max_tokens: 4, messages, stator: { worker } }),
    });
    const { usage } = (await response.json()) as { usage: { prompt_tokens_details?: { cached_tokens?: number } } };
    return usage.prompt_tokens_details?.cached_tokens ?? 0;
  };

  it("of every worker is cleared by cache clear, and what was there is computed again", async () => {
    const all = await workers();
    for (const worker of all) {
      await askCached(worker);
      expect(await askCached(worker)).toBeGreaterThan(0);
    }
    const { code, out } = await stator("cache", "clear", "--http-port", port, "--json");
    const rows = JSON.parse(out) as { worker: string; cleared: number; kept: number; failure: string }[];
    expect([code, rows.map(({ failure, kept }) => [failure, kept])]).toEqual([
      0,
      [
        ["", 0],
        ["", 0],
      ],
    ]);
    expect(Math.min(...rows.map(({ cleared }) => cleared))).toBeGreaterThan(0);
    for (const worker of all) expect(await askCached(worker)).toBe(0);
  });

  it("of one worker is cleared by its name or its address, and of nobody else", async () => {
    const { address } = readBoard(cluster).get("worker-1")!;
    const byAddress = await stator("cache", "clear", address);
    expect([byAddress.code, byAddress.out.split("\n")[0]?.split(/ {2,}/)]).toEqual([
      0,
      ["WORKER", "ADDRESS", "CLEARED", "IN USE", "WHY NOT"],
    ]);
    const [worker = ""] = await workers();
    const byName = await stator("cache", "clear", worker, "--http-port", port, "--json");
    expect(JSON.parse(byName.out)).toMatchObject([{ worker, failure: "" }]);
    expect(await stator("cache", "clear", "17", "--http-port", port)).toMatchObject({
      code: 1,
      err: expect.stringContaining("The worker 17 was not found") as string,
    });
    expect((await stator("cache", "clear", "127.0.0.1:1")).code).toBe(1);
    expect((await stator("cache")).err).toContain("stator cache clear WORKER");
  });
});

describe("roles", () => {
  it("are changed by role, and requests and explain tell of both parts of an answer", async () => {
    const flags = ["--http-port", port];
    const [{ worker } = { worker: "" }] = JSON.parse((await stator("ps", ...flags, "--json")).out) as Worker[];
    const changed = await stator("role", worker, "prefill", ...flags, "--json");
    expect(JSON.parse(changed.out)).toMatchObject({ worker, role: "prefill", previousRole: "aggregated" });
    const content = "What does a fox eat in winter, and where? ".repeat(12);
    const messages = [{ role: "user", content }];
    const body = { model: "stator-mock", max_tokens: 4, messages, ignore_eos: true, stator: { worker } };
    const ask = async () => {
      const url = `http://127.0.0.1:${port}/v1/chat/completions`;
      const headers = { "content-type": "application/json", "x-request-id": "fox" };
      return (await fetch(url, { method: "POST", headers, body: JSON.stringify(body) })).headers;
    };
    // Its frontend hears of the role a moment later.
    let said = new Headers();
    const prefillWorker = async (): Promise<string | null> => {
      said = await ask();
      return said.get("x-stator-prefill-worker");
    };
    await expect.poll(prefillWorker).toBe(worker);
    expect(said.get("x-stator-worker")).not.toBe(worker);
    const [row] = JSON.parse((await stator("requests", "1", ...flags, "--json")).out) as object[];
    expect(row).toMatchObject({
      ...{ request: "fox", tokens: 4, outcome: "finished", workers: [worker, said.get("x-stator-worker")] },
      handOff: { prefillWorker: worker, prefillMs: expect.any(Number), decodeMs: expect.any(Number), recomputed: "" },
    });
    const { out } = await stator("explain", "fox", ...flags);
    expect(out).toMatch(/tokens, computed elsewhere: where the answer goes on$/m);
    expect(out).toMatch(/tokens, to be computed for an answer elsewhere$/m);
    expect((await stator("role", worker, "aggregated", ...flags)).out).toMatch(/^WORKER +ADDRESS +ROLE +BEFORE\n/);
  });

  it("are three, and at most 1000 requests are told of", async () => {
    expect((await stator("role", "17", "cook")).err).toContain("Say `stator role WORKER ROLE`, with one of aggregated");
    expect((await stator("requests", "0")).err).toContain("Say `stator requests`, or with a count of at most 1000");
  });
});

/** As `ps` prints it. */
interface Worker {
  readonly worker: string;
}

describe("what a model file makes of", () => {
  const MODEL = "models/stator-demo-q8_0.gguf";
  const SCRIPT = ["--tokenizer-engine", "javascript"];

  it("a conversation is shown by template, and what is spelled like a control token in it is text", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "stator-conversation-"));
    const file = path.join(folder, "c.json");
    writeFileSync(file, JSON.stringify({ messages: [{ role: "user", content: "a<|im_end|>" }] }));
    const shown = async (...more: string[]) => {
      const { out } = await stator("template", MODEL, file, "--json", ...SCRIPT, ...more);
      const { prompt, tokens } = JSON.parse(out) as { prompt: string; tokens: { piece: string; control: boolean }[] };
      return { prompt, control: tokens.filter(({ control }) => control).map(({ piece }) => piece) };
    };
    const [start, end] = ["<|im_start|>", "<|im_end|>"];
    expect(await shown()).toEqual({
      prompt: `${start}user\na${end}${end}\n${start}assistant\n`,
      control: [start, end, start],
    });
    expect((await shown("--tokenizer-markers-in-content")).control).toEqual([start, end, end, start]);
    const { out } = await stator("template", MODEL, ...SCRIPT);
    expect(out).toMatch(
      /^<\|im_start\|>system\nBe brief\.[\s\S]*\nAT +ID +PIECE +KIND\n0 +2041 +"<\|im_start\|>" +control\n/,
    );
    for (const [given, says] of [
      ["nowhere", "There is no file nowhere"],
      ["README.md", "README.md is no JSON."],
      ["package.json", "package.json has no list of messages, each with a role."],
    ] as const) {
      expect((await stator("template", MODEL, given, ...SCRIPT)).err).toContain(`stator template: ${says}`);
    }
    rmSync(folder, { recursive: true });
  });

  it("a text is shown by tokenize", async () => {
    const { out } = await stator("tokenize", MODEL, "Hi", "<|im_end|>", "--json", ...SCRIPT);
    expect(JSON.parse(out)).toEqual([
      { id: 1159, piece: "Hi", control: false },
      { id: 32, piece: " ", control: false },
      { id: 2042, piece: "<|im_end|>", control: true },
    ]);
    expect((await stator("tokenize")).err).toContain("Name a model or its file");
    expect((await stator("tokenize", "README.md")).err).toContain("README.md");
  });
});

describe("what a model of a running cluster makes of", () => {
  it("a conversation and a text is what its file makes of them", async () => {
    const both = async (name: string, ...more: string[]) => {
      const [file, served] = await Promise.all([
        stator(name, "models/stator-demo-q8_0.gguf", ...more, "--json"),
        stator(name, "stator-mock", ...more, "--json", "--http-port", port),
      ]);
      expect(served).toEqual(file);
      return JSON.parse(served.out) as { readonly prompt: string };
    };
    expect((await both("template")).prompt).toMatch(/^<\|im_start\|>system\nBe brief\./);
    expect(await both("tokenize", "Hi <|im_end|>")).toHaveLength(3);
  });

  it("what cannot be found is told in one sentence", async () => {
    expect((await stator("template", "stator-mok", "--http-port", port)).err).toBe(
      "stator template: The model stator-mok does not exist here. Did you mean stator-mock?\n",
    );
    expect((await stator("tokenize", "nobody", "x", "--http-port", "1")).err).toMatch(
      /^stator tokenize: http:\/\/127\.0\.0\.1:1 cannot be reached: there is no file nobody, and only a frontend knows .*\n$/,
    );
    expect((await stator("tokenize", "nowhere.gguf", "x", "--http-port", port)).err).toMatch(
      /There is no file nowhere/,
    );
  });

  it("what is told of it: without a template tokens alone, markers where they count, nothing where a worker reads", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "stator-told-"));
    const [bareFile, forged] = [path.join(folder, "bare.gguf"), path.join(folder, "forged.json")];
    writeFileSync(bareFile, pieceVocabulary());
    writeFileSync(forged, JSON.stringify([{ role: "user", content: "<|im_end|>" }]));
    const discovery = pathToFileURL(folder).href;
    const serve = (model: string, open: () => Promise<Engine>, more: Partial<EngineRecipe> = {}) =>
      createWorker({ discovery }, { engine: { engine: "mine", model, aliases: [`also-${model}`], open, ...more } });
    const mock = (model: string, modelPath: string) => () =>
      openMock({ modelPath, model, clock: systemClock, log: silentLog });
    const opened = [
      await serve("bare", mock("bare", bareFile)),
      await serve("far", async () => new TextEngine("far")),
      await serve("marked", mock("marked", "models/stator-demo-q8_0.gguf"), { markersInContent: true }),
      await createFrontend({ discovery, "http.port": 0 }),
    ];
    const at = ["--http-port", opened.at(-1)!.address.split(":").at(-1)!];
    while (!/bare +ready[\s\S]*far +ready[\s\S]*marked +ready/.test((await stator("models", ...at)).out))
      await setTimeout(100);
    const [chat, tokens, away, marked, unmarked] = await Promise.all([
      stator("template", "bare", ...at),
      stator("tokenize", "also-bare", "the", "--json", ...at),
      stator("tokenize", "far", "the", ...at),
      stator("template", "marked", forged, ...at),
      stator("template", "marked", forged, "--no-tokenizer-markers-in-content", ...at),
    ]);
    expect(chat.err).toMatch(/^stator template: .*the model has no chat template.*\n$/);
    expect(tokens).toEqual(await stator("tokenize", bareFile, "the", "--json"));
    expect(away.err).toMatch(/^stator tokenize: The text of far is not available: only the workers .*\n$/);
    expect([marked, unmarked].map(({ out }) => out.match(/control$/gm)?.length)).toEqual([4, 3]);
    for (const each of opened.reverse()) await each.close();
    rmSync(folder, { recursive: true, force: true });
  });
});

describe("what the program says of itself", () => {
  it("has its version under three names", async () => {
    const said = await Promise.all([stator("version"), stator("-v"), stator("--version")]);
    expect(new Set(said.map(({ out }) => out)).size).toBe(1);
    expect(said[0]).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) as string });
  });

  it("names the choices of an option, and what a flag decides for the command at hand", async () => {
    const up = await stator("help", "up");
    expect(up.out).toContain(`One of ${ROUTER_MODES.join(", ")}. (kv)`);
    expect(up.out).toMatch(/--model-name NAME +Name of the one model in the API/);
    expect((await stator("chat", "--help")).out).toMatch(/--model-name NAME +Model to talk to/);
  });

  it("explains an option by its key, flag or variable", async () => {
    const explain = async (...names: string[]) => (await stator("config", "explain", ...names)).out;
    const usual = await explain("http.port");
    expect(usual).toContain("http.port = 8000\n  from the default");
    expect(await explain("--http-port")).toBe(usual);
    expect(await explain("STATOR_HTTP_PORT")).toBe(usual);
    expect(await explain("--http-port", "--http-port", "9")).toContain("http.port = 9\n  from the flag");
    expect(await explain("--http-port=9", "http.port")).toContain("http.port = 9\n  from the flag");
    expect(await explain("--no-insecure-listen")).toContain("insecure-listen = false\n  from the default");
    const { code, err } = await stator("config", "explain", "--http-prot");
    expect({ code, err }).toEqual({
      code: 2,
      err: "stator config: --http-prot is not an option. Did you mean --http-port?\n",
    });
  });
});
