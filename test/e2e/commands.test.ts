import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROUTER_MODES } from "#lib/routing/select";
import { type Program, readBoard, startProgram } from "../support/program.ts";

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
      ["WORKER", "MODELS", "ADDRESS", "STATE", "OPEN", "WAITING", "BLOCKS"],
    ]);
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
    expect((await stator("tokenize")).err).toContain("Name a model file");
    expect((await stator("tokenize", "README.md")).err).toContain("README.md");
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
    expect(up.out).toContain(`One of ${ROUTER_MODES.join(", ")}. (power-of-two)`);
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
