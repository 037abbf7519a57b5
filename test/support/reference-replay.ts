import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { cachedFolder, python } from "./packages.ts";

const VERSION = "1.4.2";
const PACKAGES = [`ai-dynamo==${VERSION}`, `ai-dynamo-runtime==${VERSION}`];

/** Replays a trace on virtual time, in one process that talks to nobody. */
const REPLAY = `
import json, sys
from dynamo.mocker import MockEngineArgs
from dynamo.replay import run_trace_replay
trace, answers, options = sys.argv[1:]
options = json.loads(options)
engine = MockEngineArgs.from_json(json.dumps(options.pop("engine")))
run_trace_replay([trace], extra_engine_args=engine, trace_block_size=512, report_jsonl_path=answers, **options)
`;

/** What became of one request in the reference's own replay; of its fields those that are read here. */
export interface ReferenceOutcome {
  /** When it came, in ms, by which it is found again. */
  readonly arrival_time_ms: number;
  /** Tokens of its prompt. */
  readonly input_length: number;
  /** Tokens of its answer. */
  readonly output_length: number;
  /** Prompt tokens that were in the cache. */
  readonly reused_input_tokens: number;
  /** Where it ran, from 0. */
  readonly decode_worker_idx: number;
  /** From its arrival to its first token. */
  readonly ttft_ms: number;
  /** When its last token was there. */
  readonly last_token_ms: number;
}

/** How the reference replays. */
export interface ReferenceReplay {
  /** Rows of a trace as text. */
  readonly trace: Buffer;
  /** As its option says it: round_robin, kv_router. */
  readonly router: string;
  /** How many times as fast requests come. */
  readonly speed: number;
  /** How many workers there are. */
  readonly workers: number;
  /** Of its engines' own arguments. */
  readonly engine: { readonly block_size: number; readonly num_gpu_blocks: number };
}

/** Where the reference is installed: beside, once. Throws where it cannot be. */
export function installReference(): string {
  return cachedFolder(`ai-dynamo-${VERSION}`, (to) =>
    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", to, ...PACKAGES),
  );
}

/** Each request of a trace by the replay of an installed reference, in the order in which they came. */
export function replayByReference(library: string, about: ReferenceReplay): readonly ReferenceOutcome[] {
  const scratch = mkdtempSync(path.join(tmpdir(), "stator-reference-"));
  try {
    const [trace, answers] = [path.join(scratch, "trace.jsonl"), path.join(scratch, "answers.jsonl")];
    writeFileSync(trace, about.trace);
    const { router: router_mode, speed: arrival_speedup_ratio, workers: num_workers, engine } = about;
    const options = JSON.stringify({ router_mode, arrival_speedup_ratio, num_workers, engine });
    const env = { ...process.env, PYTHONPATH: library, DYN_LOG: "error" };
    execFileSync("python3", ["-c", REPLAY, trace, answers, options], { stdio: "pipe", timeout: 300_000, env });
    const lines = readFileSync(answers, "utf8").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line) as ReferenceOutcome);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
