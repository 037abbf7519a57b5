import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Cluster } from "../support/cluster.ts";
import { IS_LONG } from "../support/seeds.ts";

const folder = mkdtempSync(join(tmpdir(), "stator-door-"));
const discovery = ["--discovery", `file://${folder}`];
const cluster = new Cluster();

afterAll(async () => {
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Resident memory of a process in MB. */
function residentMb(pid: number): number {
  return Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

test("a frontend that was started by hand has the settings of one that `up` starts", async () => {
  const { program } = await cluster.frontend(...discovery);
  const settings = JSON.parse(readFileSync(new URL("../../bin/process-settings.json", import.meta.url), "utf8")) as {
    frontend: { flags: string[]; variables: Record<string, string> };
  };
  const args = readFileSync(`/proc/${program.pid}/cmdline`, "utf8").split("\0");
  const env = readFileSync(`/proc/${program.pid}/environ`, "utf8").split("\0");
  expect(args).toEqual(expect.arrayContaining(settings.frontend.flags));
  for (const [name, value] of Object.entries(settings.frontend.variables)) expect(env).toContain(`${name}=${value}`);
});

test.runIf(IS_LONG)("memory comes back after the longest bodies", { timeout: 180_000 }, async () => {
  await cluster.worker(...discovery);
  const { program, address } = await cluster.frontend(...discovery);
  const list = async () => (await (await fetch(`http://${address}/v1/models`)).json()) as { data: { id: string }[] };
  await expect.poll(async () => (await list()).data.length, { timeout: 20_000 }).toBe(1);
  const model = (await list()).data[0]!.id;
  const post = async (path: string, body: string) => {
    const answer = await fetch(`http://${address}/v1/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    expect(answer.status).toBe(400);
    await answer.text();
  };
  const idleMb = residentMb(program.pid);
  const message = '{"role":"user","content":""}';
  const bodies: [string, string][] = [
    ["chat/completions", JSON.stringify({ model, messages: [{ role: "user", content: "é".repeat(4_000_000) }] })],
    ["completions", `{"model":"${model}","prompt":[${"0,".repeat(1_000_000)}0]}`],
    ["chat/completions", `{"model":"${model}","messages":[${`${message},`.repeat(60_000)}${message}]}`],
  ];
  for (let round = 0; round < 4; round++) await Promise.all(bodies.map(([path, body]) => post(path, body)));
  await expect.poll(() => residentMb(program.pid) / idleMb, { timeout: 30_000, interval: 1000 }).toBeLessThan(1.5);
});
