import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster } from "../support/cluster.ts";
import { expectPrinted, openPageCluster, type PageCluster, readExamples, runExample } from "../support/kserve-page.ts";
import { cachedFolder, python } from "../support/packages.ts";
import { IS_LONG } from "../support/seeds.ts";

// The peers' own clients, unmodified, against `stator up`: the programs of docs/kserve.md, and checks beyond them.

const FOLDER = path.join(import.meta.dirname, "kserve");
const EXAMPLES = readExamples().filter(({ language }) => language === "python");
/** A program of the page uses one of these. */
const CLIENTS = ["tritonclient", "kserve"] as const;
type Client = (typeof CLIENTS)[number];

/** The folder of a client and of what it needs; PyPI is asked once for each list of them. Throws when they cannot be had. */
function install(client: Client): string {
  const requirements = path.join(FOLDER, `${client}.txt`);
  const name = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  return cachedFolder(`${client}-${name}`, (to) => {
    python("-m", "pip", "install", "--quiet", "--target", to, "--requirement", requirements);
  });
}

const cluster = new Cluster();
let opened: PageCluster | undefined;
const folders = new Map<Client, string>();
/** Why nothing can be tried. */
let missing: string | undefined;

beforeAll(async () => {
  if (!IS_LONG) return;
  try {
    for (const client of CLIENTS) folders.set(client, install(client));
  } catch (error) {
    missing = `the clients cannot be installed: ${String(error).split("\n")[0]}`;
    return;
  }
  opened = await openPageCluster(cluster);
  if (!opened) missing = "the llama engine is not built";
}, 1_800_000);
afterAll(async () => {
  await cluster.close();
  expect(cluster.complaints).toEqual([]);
});

/** Skips a test that has nothing to run with; there it is an error that CI has nothing. */
function need(client: Client, skip: (why: string) => never): { cluster: PageCluster; env: NodeJS.ProcessEnv } {
  if (!IS_LONG) return skip("npm run test:long runs it");
  if (missing !== undefined || !opened) {
    expect(process.env.CI, missing).not.toBe("true");
    return skip(missing ?? "there is no cluster");
  }
  return { cluster: opened, env: { ...process.env, PYTHONPATH: folders.get(client) } };
}

describe("docs/kserve.md", () => {
  it("has programs for both clients", () => {
    const count = (client: Client) => EXAMPLES.filter(({ code }) => code.includes(client)).length;
    expect(CLIENTS.map(count)).toEqual([8, 1]);
  });

  it.for(EXAMPLES)("$code", { timeout: 120_000 }, async (example, { skip }) => {
    const client = example.code.includes("tritonclient") ? "tritonclient" : "kserve";
    const { cluster: place, env } = need(client, skip);
    expectPrinted(await runExample(example, place, ["python3", "-c"], env), example);
  });
});

/** What each client's checks print. */
const EACH = ["check_about", "check_operators", "check_mistakes", "check_tensors", "check_shared_memory"];
const CHECKS: Readonly<Record<Client, readonly string[]>> = {
  tritonclient: [
    ...["grpc", "http"].flatMap((kind) => EACH.map((check) => `${kind} ${check}`)),
    ...["grpc check_streams", "every way says the same"],
  ],
  kserve: ["grpc and rest", "the same text", "repository"],
};

it.for(CLIENTS)(
  "%s gets what it asks for in each of its ways, and the same text in all",
  {
    timeout: 300_000,
  },
  async (client, { skip }) => {
    const { cluster: place, env } = need(client, skip);
    const script = path.join(FOLDER, `${client}-checks.py`);
    const { stdout } = await promisify(execFile)("python3", [script, place.http, place.grpc], {
      env,
      timeout: 240_000,
    });
    expect(stdout.trim().split("\n")).toEqual(CHECKS[client]);
  },
);
