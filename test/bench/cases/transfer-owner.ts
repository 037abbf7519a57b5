// The process that owns the blocks of transfer.ts: a filled region, by every way.
import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";

const [blockBytes, poolBytes] = process.argv.slice(2).map(Number) as [number, number];
const addon = loadNative().addon!;
const mover = openNativeMover(addon);
const region = mover.openRegion(poolBytes);
const words = new Uint32Array(region.bytes.buffer);
for (let at = 0; at < words.length; at++) words[at] = Math.imul(at, 0x9e3779b1);
const checksums = Array.from({ length: poolBytes / blockBytes }, (_, at) =>
  String(addon.xxh3(region.bytes.subarray(at * blockBytes, (at + 1) * blockBytes), 0x564b5453n)),
);
const { port, token } = await mover.listen({ host: "127.0.0.1", port: 0 });
const { processId, processStart } = mover.identity;
const { id, memoryFile, address } = region;
process.send!({
  ...{ processId, memoryFile, port, checksums, region: id },
  token: [...token],
  processStart: String(processStart),
  address: String(address),
});
setInterval(() => {}, 1 << 30);
