import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { packTrace } from "./packed-trace.ts";

test("another thread reads the same memory", async () => {
  const packed = packTrace(
    [11n, 12n].map((name, index) => ({
      ...{ index, atMs: index, inputTokens: 5, outputTokens: 1, names: BigUint64Array.of(name) },
      ...{ session: "ä", delayMs: undefined, priority: 0, isDelta: false },
    })),
  );
  const program = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData.module).then(({ unpackTrace }) => {
      const rows = [...unpackTrace(workerData.packed)];
      workerData.packed.atMs[0] = 77;
      parentPort.postMessage(rows.map(({ session, names, atMs }) => session + names[0] + atMs));
    });`;
  const module = new URL("./packed-trace.ts", import.meta.url).href;
  const worker = new Worker(program, { eval: true, workerData: { module, packed } });
  const said = await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  expect(said).toEqual(["ä110", "ä121"]);
  expect(packed.atMs[0]).toBe(77);
  await worker.terminate();
});
