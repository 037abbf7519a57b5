import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChannelCredentials, Client, credentials, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Control } from "#gen/openengine/v1/openengine_pb";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { loadTls } from "#lib/rpc/credentials";
import { Cluster, type Serving } from "../support/cluster.ts";
import { Load } from "../support/load.ts";
import { observe } from "../support/observer.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-tls-"));
const cluster = new Cluster();
let hub: Serving;
let worker: Serving;
let frontend: Serving;

function opensslMissing(): string {
  if (spawnSync("openssl", ["version"]).status === 0) return "";
  if (process.env.CI) throw new Error("apt-get install openssl");
  return " (skipped: openssl is missing)";
}

const missing = opensslMissing();

function openssl(...args: string[]): void {
  execFileSync("openssl", args, { stdio: "pipe", cwd: folder });
}

function authority(name: string): void {
  const subject = ["-subj", `/CN=${name} authority`];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${name}-ca.key`];
  openssl("req", "-x509", ...key, "-out", `${name}-ca.pem`, "-days", "1", ...subject);
}

/** A certificate as people make them: a key, a request, a signature. */
function identity(name: string, by: string, names = "DNS:localhost,IP:127.0.0.1"): void {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${name}.key`];
  openssl("req", ...key, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
  writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${names}\n`);
  const signed = ["-CA", `${by}-ca.pem`, "-CAkey", `${by}-ca.key`, "-CAcreateserial", "-extfile", `${name}.ext`];
  openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, "-days", "1", ...signed);
}

const at = (name: string) => join(folder, name);
const tlsArgs = (name: string, by = "our") => [
  ...["--tls-cert", at(`${name}.pem`), "--tls-key", at(`${name}.key`)],
  ...["--tls-ca", at(`${by}-ca.pem`)],
];
const mutual = (name: string) =>
  loadTls(
    {
      certificate: { path: at(`${name}.pem`) },
      key: { path: at(`${name}.key`) },
      authority: { path: at("our-ca.pem") },
      mutual: true,
    },
    systemClock,
  );

beforeAll(async () => {
  if (missing !== "") return;
  authority("our");
  authority("other");
  for (const name of ["hub", "worker", "frontend", "tool"]) identity(name, "our");
  identity("stranger", "other");
  identity("misnamed", "our", "DNS:elsewhere.test");
  hub = await cluster.hub(...tlsArgs("hub"));
  const discovery = ["--discovery", `hub://${hub.address}`];
  worker = await cluster.worker(...discovery, ...tlsArgs("worker"));
  frontend = await cluster.frontend(...discovery, ...tlsArgs("frontend"));
});

afterAll(async () => {
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
});

/** How a unary call of a stranger ends. */
function codeOf(address: string, path: string, dial: ChannelCredentials): Promise<number> {
  // By name: TLS has none for an address, and Node warns.
  const client = new Client(address.replace("127.0.0.1", "localhost"), dial);
  const bytes = (buffer: Buffer) => buffer;
  return new Promise((resolve) => {
    const deadline = Date.now() + 5_000;
    client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), { deadline }, (error) => {
      client.close();
      resolve(error?.code ?? 0);
    });
  });
}

describe.skipIf(missing !== "")(`hub, worker and frontend with certificates on both sides${missing}`, () => {
  it("serve", async () => {
    const load = await Load.start(frontend.address, { streams: 4 });
    await load.more(8);
    expect(await load.stop()).toMatchObject({ failures: [], refusals: new Map() });
    const observer = await observe(`hub://${hub.address}`, mutual("tool"));
    expect(observer.workers().size).toBe(1);
    await observer.close();
    expect(cluster.complaints).toEqual([]);
  });

  it("answer whoever shows a certificate of their authority", async () => {
    const channel = new Channel(worker.address, mutual("tool"), systemClock);
    expect((await createClient(Control, channel).getServerInfo({})).engineName).toBe("stator-mock");
    channel.close();
    const asked = cluster.start(["conform", "worker", worker.address, ...tlsArgs("tool")]);
    expect((await asked.ended).code, asked.stdout + asked.stderr).toBe(0);
  });

  it("refuse everybody else", async () => {
    const ca = readFileSync(at("our-ca.pem"));
    const [key, chain] = [readFileSync(at("stranger.key")), readFileSync(at("stranger.pem"))];
    const strangers: [string, ChannelCredentials][] = [
      ["plaintext", credentials.createInsecure()],
      ["no certificate", credentials.createSsl(ca)],
      ["another authority's certificate", credentials.createSsl(ca, key, chain)],
    ];
    const doors: [string, string][] = [
      [worker.address, "/openengine.v1.Control/GetServerInfo"],
      [worker.address, "/grpc.health.v1.Health/Check"],
      [hub.address, "/grpc.health.v1.Health/Check"],
    ];
    for (const [address, path] of doors) {
      for (const [who, dial] of strangers) {
        const code = await codeOf(address, path, dial);
        expect([status.UNAVAILABLE, status.DEADLINE_EXCEEDED], `${who} at ${path}`).toContain(code);
      }
      const tool = credentials.createSsl(ca, readFileSync(at("tool.key")), readFileSync(at("tool.pem")));
      expect(await codeOf(address, path, tool), "and it was not the door").toBe(0);
    }
  });

  it("do not let a process in that has none, and it says so in one sentence", async () => {
    const discovery = ["--discovery", `hub://${hub.address}`];
    const all = [
      cluster.start(["worker", "--engine", "mock", ...discovery]),
      cluster.start(["worker", "--engine", "mock", ...discovery, ...tlsArgs("stranger", "other")]),
      cluster.start(["frontend", "--http-port", "0", ...discovery]),
    ];
    for (const program of all) {
      const { code } = await program.ended;
      expect(code).toBeGreaterThan(0);
      expect(program.stderr).toMatch(/hub .* cannot be reached/);
      expect(program.stderr).not.toMatch(/^\s+at /m);
    }
  });

  it("do not count on a worker whose certificate is for another name, and say so once", async () => {
    const own = ["--discovery", `hub://${hub.address}`];
    await cluster.worker(...own, "--model-name", "misnamed", ...tlsArgs("misnamed"));
    const { address, program } = await cluster.frontend(...own, ...tlsArgs("frontend"));
    const listed = async () => {
      const { data } = (await (await fetch(`http://${address}/v1/models`)).json()) as { data: { id: string }[] };
      return data.map(({ id }) => id);
    };
    await expect.poll(listed, { timeout: 20_000 }).toEqual(["stator-mock"]);
    await expect.poll(() => program.stderr).toContain("worker cannot be reached");
    // Some more tries.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(await listed()).toEqual(["stator-mock"]);
    expect(program.stderr.match(/"level":"(?:warn|error)"/g)).toHaveLength(1);
    const body = JSON.stringify({ model: "misnamed", prompt: "x" });
    const headers = { "content-type": "application/json" };
    expect((await fetch(`http://${address}/v1/completions`, { method: "POST", headers, body })).status).toBe(503);
    await program.close();
  });

  it("say what is wrong with a certificate that cannot be read", async () => {
    const wrong = [
      ["--tls-cert", at("nowhere.pem"), "--tls-key", at("hub.key")],
      ["--tls-cert", at("hub.pem"), "--tls-key", at("worker.key")],
      ["--tls-cert", at("hub.ext"), "--tls-key", at("hub.key")],
    ];
    for (const args of wrong) {
      const program = cluster.start(["hub", "--hub-port", "0", ...args]);
      expect((await program.ended).code).toBeGreaterThan(0);
      expect(program.stderr.trim().split("\n"), program.stderr).toHaveLength(1);
    }
  });
});
