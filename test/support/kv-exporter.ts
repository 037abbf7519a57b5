import { openLlama } from "#lib/engines/llama/llama-engine";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { type Ask, EngineClient } from "../conformance/engine-rig.ts";
import { DEMO_MODEL } from "./engine-driver.ts";
import { takeBlocks } from "./move-blocks.ts";

// A process that computes a prompt, runs the request over the cached prefix and hands both over: the answer and the
// blocks. Its parent imports the blocks and compares.
async function answer(ask: Ask & { prompt: Uint32Array }): Promise<void> {
  const engine = await openLlama({ modelPath: DEMO_MODEL, clock: systemClock, log: silentLog });
  const client = new EngineClient(engine);
  await client.ask({ ...ask, stopping: { maxTokens: 1 } });
  const { tokens, chosen } = await client.ask(ask);
  const hashes = new BigUint64Array(Math.floor(ask.prompt.length / engine.card.blockTokens));
  new TokenHasher().hashBlocks(ask.prompt, engine.card.blockTokens, hashSeed("", undefined), hashes.slice(), hashes);
  const whole = Math.floor((ask.prompt.length - 1) / engine.card.blockTokens);
  const taken = await takeBlocks(engine, hashes.subarray(0, whole));
  process.send?.({ tokens, chosen, taken });
  await engine.close();
}

process.once("message", ({ ask }: { ask: Ask & { prompt: Uint32Array } }) => {
  answer(ask).catch((error: unknown) => {
    process.exitCode = 1;
    process.stderr.write(`${String(error)}\n`);
    process.disconnect();
  });
});
