// Wall time from `npm start` to the first streamed token, with a compile cache that is warm and one that is empty; beside
// it a bare `node -e 0`, which tells how fast the machine is now.
//   node test/bench/cases/start.ts [NAME_PART]
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { HttpCaller } from "../cluster.ts";
import { median, runCases, startsOf } from "../harness.ts";

const ROOT = path.join(import.meta.dirname, "../../..");

function bareMs(): number {
  const before = performance.now();
  spawnSync(process.execPath, ["-e", "0"]);
  return performance.now() - before;
}

/** One start with its own group of processes, ended with the signal a terminal would send. */
async function firstTokenMs(compileCache: string): Promise<{ readyMs: number; tokenMs: number }> {
  const before = performance.now();
  const env = { ...process.env, NODE_COMPILE_CACHE: compileCache };
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const npm = spawn("npm", ["start", "--", "--http-port", "0"], { cwd: ROOT, env, stdio: [...stdio] });
  const ended = new Promise((resolve) => npm.once("close", resolve));
  try {
    const port = await new Promise<number>((resolve, reject) => {
      let told = "";
      npm.stdout.on("data", (data) => {
        told += data;
        const match = told.match(/curl -N http:\/\/127\.0\.0\.1:(\d+)/);
        if (match) resolve(Number(match[1]));
      });
      npm.once("close", () => reject(new Error(`npm start ended:\n${told}`)));
    });
    const readyMs = performance.now() - before;
    const caller = new HttpCaller(port, 1);
    const tokenMs = await new Promise<number>((resolve, reject) => {
      const messages = [{ role: "user", content: "What is the capital of Japan?" }];
      const body = { model: "stator-demo", messages, stream: true, max_tokens: 8 };
      const onData = (chunk: string) => {
        if (/"content":"[^"]/.test(chunk)) resolve(performance.now() - before);
      };
      caller.post("/v1/chat/completions", body, onData).then(() => reject(new Error("No token came")), reject);
    });
    caller.close();
    return { readyMs, tokenMs };
  } finally {
    npm.kill("SIGTERM");
    await ended;
  }
}

async function firstToken(): Promise<object> {
  const folder = mkdtempSync(path.join(tmpdir(), "stator-bench-"));
  const cold = [];
  const warm = [];
  const bare = [];
  try {
    for (let turn = 0; turn < startsOf(3); turn++) {
      const cache = path.join(folder, String(turn));
      bare.push(bareMs());
      cold.push(await firstTokenMs(cache));
      bare.push(bareMs());
      warm.push(await firstTokenMs(cache));
      bare.push(bareMs());
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const coldSeconds = median(cold.map(({ tokenMs }) => tokenMs)) / 1000;
  const warmSeconds = median(warm.map(({ tokenMs }) => tokenMs)) / 1000;
  const bareSeconds = median(bare) / 1000;
  return {
    coldSeconds,
    warmSeconds,
    warmReadySeconds: median(warm.map(({ readyMs }) => readyMs)) / 1000,
    bareSeconds,
    coldRatio: coldSeconds / bareSeconds,
    warmRatio: warmSeconds / bareSeconds,
  };
}

await runCases({ "start/first-token": firstToken });
