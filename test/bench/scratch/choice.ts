import { RoutingRig, fleetWorker, routeAskOf } from "../../support/routing-rig.ts";
import { TokenHasher } from "#lib/tokens/block-hash";
import { RunIndex } from "#lib/routing/index/run-index";
import { loadNative } from "#lib/native/addon";
const loaded: any = loadNative();
const native = loaded.addon;
if (!native) console.log(loaded);
const workers = Array.from({ length: 64 }, (_, at) => fleetWorker(BigInt(at + 1), { times: { passTokens: 2048, prefillTokenMs: 0.05, prefillSquareMs: 1e-6, passMs: 5, prefillContextMs: 1e-6, decodeSequenceMs: .1 } }));
const rule = (process.argv[2] ?? "ttft") as any;
const rig = new RoutingRig(workers, { rule, openIndex: () => new RunIndex({ budgetBytes: 256 << 20 }), ...(native ? { hasher: native, stepBlocks: 128 } : {}) });
const prompts = Array.from({ length: 64 }, (_, k) => Uint32Array.from({ length: 8192 }, (_, at) => at < 2048 ? at : k * 100000 + at));
for (let w = 1; w <= 64; w++) for (let k = 0; k < 8; k++) rig.store(BigInt(w), prompts[(w * 3 + k) % 64]!);
// some load
for (let i = 0; i < 256; i++) { const { ticket } = rig.place(routeAskOf(prompts[i % 64]!)); ticket.note({ kind: "accepted", choice: 0, cachedTokens: 0 }); if (i % 2) ticket.note({ kind: "first token", choice: 0 }); }
const times: number[] = [];
for (let i = 0; i < 4000; i++) {
  const ask = routeAskOf(prompts[i % 64]!);
  const t = process.hrtime.bigint();
  const { ticket } = rig.place(ask);
  times.push(Number(process.hrtime.bigint() - t) / 1000);
  ticket.cancel();
}
const tail = times.slice(1000).sort((a, b) => a - b);
console.log(rule, "p50", tail[tail.length >> 1], "p99", tail[Math.floor(tail.length * .99)], "us");
const h = new TokenHasher(); const l = new BigUint64Array(512), s = new BigUint64Array(512);
let t = process.hrtime.bigint(); for (let i = 0; i < 200; i++) h.hashBlocks(prompts[i % 64]!, 16, 1337n, l, s); console.log("ts hash (local+seq)", Number(process.hrtime.bigint() - t) / 200e3, "us");

if (native) { const b: number[] = []; for (let i = 0; i < 3000; i++) { const t = process.hrtime.bigint(); native.hashContents(prompts[i % 64]!, 16, 0, 1337n, 0, 512, l); b.push(Number(process.hrtime.bigint() - t) / 1000); } b.sort((x, y) => x - y); const p50 = b[1500]!; console.log("addon", p50, "ratio", tail[tail.length >> 1]! / p50); }
