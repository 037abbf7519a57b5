import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import path from "node:path";
import { parseGgufHeader } from "#lib/text/gguf";
import { readTokens } from "#lib/text/tokenizer";
import { checkVocabulary, extractVocabulary } from "#lib/text/vocabulary";
import { libraryTokenizer } from "./encoders.ts";
import { sleep } from "./harness.ts";
import { MARKS_TEMPLATE } from "./models.ts";

/** The frontend of the field's own system, with two mock workers behind it, once it answers. */
export interface Peer {
  readonly port: number;
  readonly frontendPid: number;
  /** Ends all of it. */
  close(): Promise<void>;
}

/** What it serves. */
export interface PeerModel {
  /** GGUF file of its vocabulary, of byte pairs. */
  readonly file: string;
  readonly name: string;
  readonly contextTokens: number;
}

/** Blocks of its mock workers: enough for everything at once. */
const BLOCKS = 262_144;
const READY_MS = 120_000;
/** By load alone, which costs it least. */
const ROUTER = ["--router-mode", "least-loaded"];

/** The Python that has the peer installed, as `--peer` gave it; undefined where none is compared. */
export const PEER_PYTHON = process.env.BENCH_PEER;

/**
 * Starts it with the encoder and the router that cost it least. It listens on all interfaces, so this throws where there
 * is one beside loopback; also where it does not answer in time, with the end of what it wrote.
 */
export async function startPeer(python: string, model: PeerModel): Promise<Peer> {
  const outside = Object.values(networkInterfaces()).some((each) => each?.some(({ internal }) => !internal));
  if (outside) throw new Error("The peer listens on every interface: run this where loopback is the only one");
  const folder = mkdtempSync(path.join(tmpdir(), "stator-peer-"));
  writeModel(folder, model);
  const port = await freePort();
  const own = ["DYN_TOKENIZER=fastokens", "DYN_TOKENIZER_FALLBACK=false", `DYN_FILE_KV=${path.join(folder, "kv")}`];
  const env = { ...process.env, ...Object.fromEntries(own.map((each) => each.split("="))) };
  const log = path.join(folder, "log");
  const written = openSync(log, "a");
  const start = (module: string, ...args: string[]) =>
    spawn(python, ["-m", module, "--discovery-backend", "file", ...args], { env, stdio: ["ignore", written, written] });
  const frontend = start("dynamo.frontend", "--http-host", "127.0.0.1", "--http-port", `${port}`, ...ROUTER);
  const named = ["--model-path", folder, "--model-name", model.name, "--num-workers", "2", "--speedup-ratio", "1000"];
  const sizes = ["--max-model-len", `${model.contextTokens}`, "--num-gpu-blocks-override", `${BLOCKS}`];
  const mocker = start("dynamo.mocker", ...named, ...sizes);
  const close = async () => {
    await Promise.all([frontend, mocker].map(end));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await untilAnswered(port, model.name);
    return { port, frontendPid: frontend.pid!, close };
  } catch (error) {
    const told = readFileSync(log, "utf8").slice(-2_000);
    await close();
    throw new Error(`The peer does not answer: ${told}`, { cause: error });
  }
}

/** A model's folder as the field's tools have it, without weights. */
function writeModel(folder: string, { file, contextTokens }: PeerModel): void {
  const vocabulary = checkVocabulary(extractVocabulary(parseGgufHeader(readFileSync(file), file)));
  const write = (name: string, content: object) => writeFileSync(path.join(folder, name), JSON.stringify(content));
  write("tokenizer.json", libraryTokenizer(vocabulary));
  write("tokenizer_config.json", { tokenizer_class: "Qwen2Tokenizer", chat_template: MARKS_TEMPLATE });
  write("config.json", {
    ...{ architectures: ["Qwen2ForCausalLM"], model_type: "qwen2", vocab_size: vocabulary.size },
    ...{ max_position_embeddings: contextTokens, hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 1 },
    eos_token_id: readTokens(vocabulary).eos ?? 0,
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilAnswered(port: number, model: string): Promise<void> {
  const body = JSON.stringify({ model, max_tokens: 1, messages: [{ role: "user", content: "Hello" }] });
  const headers = { "content-type": "application/json" };
  for (const endMs = performance.now() + READY_MS; performance.now() < endMs; ) {
    const url = `http://127.0.0.1:${port}/v1/chat/completions`;
    const answer = await fetch(url, { method: "POST", body, headers }).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok) return;
    await sleep(200);
  }
  throw new Error("Nothing was answered");
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await ended;
}
