import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { expect, vi } from "vitest";
import { root } from "../../tools/run-tool.ts";
import type { Cluster } from "./cluster.ts";
import { readBoard, readInferencePort } from "./program.ts";

/** A block of code of docs/kserve.md behind which stands what it prints. */
export interface PageExample {
  /** Such as sh. */
  readonly language: string;
  readonly code: string;
  /** … stands for anything. */
  readonly prints: string;
}

/** docs/kserve.md. */
export function readPage(): string {
  return readFileSync(path.join(root, "docs/kserve.md"), "utf8");
}

/** Every example of the page, in its order. */
export function readExamples(): readonly PageExample[] {
  const blocks = readPage().matchAll(
    /^```(sh|python)\n((?:(?!```).*\n)*)```\n\n```(?:text|json)\n((?:(?!```).*\n)*)```$/gm,
  );
  return [...blocks].map(([, language = "", code = "", prints = ""]) => ({ language, code, prints }));
}

/** Where the page's cluster listens, host:port each. */
export interface PageCluster {
  readonly http: string;
  readonly grpc: string;
}

/** Starts what the page starts, on free ports. Resolves with undefined where the engine of its model is not built. */
export async function openPageCluster(cluster: Cluster): Promise<PageCluster | undefined> {
  const up = cluster.start(["up", "--workers", "1", "--http-port", "0"]);
  await up.until(/Try it:/);
  const board = readBoard(up);
  const opened = { http: board.get("frontend")?.address ?? "", grpc: readInferencePort(up) };
  if (!/^ {2}stator-demo: /m.test(up.stdout)) return undefined;
  await cluster.worker("--engine", "tensor", "--discovery", `hub://${board.get("hub")?.address}`);
  const isReady = async () => (await fetch(`http://${opened.http}/v2/models/simple/ready`)).ok;
  await vi.waitUntil(isReady, { timeout: 20_000 });
  return opened;
}

/** Runs a program with the code of an example behind `args`, against this cluster. Resolves with what it printed. */
export async function runExample(
  { code }: PageExample,
  { http, grpc }: PageCluster,
  [command, ...args]: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const here = code.replaceAll("127.0.0.1:8000", http).replaceAll("127.0.0.1:8001", grpc);
  const { stdout } = await promisify(execFile)(command, [...args, here], { env, timeout: 100_000 });
  return stdout;
}

/** Fails unless an example printed what the page says. Ends of lines do not count. */
export function expectPrinted(printed: string, { prints }: PageExample): void {
  const pattern = joinLines(prints)
    .split("…")
    .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
    .join(".*");
  expect(joinLines(printed)).toMatch(new RegExp(`^${pattern}$`));
}

function joinLines(text: string): string {
  return text.replaceAll("\n", "");
}
