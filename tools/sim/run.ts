// npm run sim -- --seed N [--count C]: lives the world of a seed, or of C seeds from it on, and prints the trace of a single
// one. Ends with 1 when something was wrong.
import { parseArgs } from "node:util";
import { readMockModel } from "#lib/engines/mock/mock-engine";
import { simulate } from "#lib/simulation/simulate";

const options = { seed: { type: "string", default: "0" }, count: { type: "string", default: "1" } } as const;
const { values } = parseArgs({ options });
const [first, count] = [Number(values.seed), Number(values.count)];
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || first < 0 || count < 1) {
  console.error("A seed is a whole number from 0 on, and a count one from 1 on.");
  process.exit(2);
}
const model = await readMockModel("models/stator-demo-q8_0.gguf");
const ends = new Map<string, number>();
const transfers = new Map<string, number>();
let migrations = 0;
let handOffs = 0;
let wrong = 0;
for (let seed = first; seed < first + count; seed++) {
  const world = await simulate(seed, { model, ...(count === 1 && { write: (line) => console.log(line) }) });
  for (const [end, times] of world.ends) ends.set(end, (ends.get(end) ?? 0) + times);
  for (const [what, times] of world.transfers) transfers.set(what, (transfers.get(what) ?? 0) + times);
  migrations += world.migrations;
  handOffs += world.handOffs;
  if (count === 1) console.log(`seed ${seed}: trace ${world.hash}, faults: ${world.faults.join(", ") || "none"}`);
  for (const complaint of world.complaints) console.log(`seed ${seed}: ${complaint}`);
  if (world.complaints.length > 0) wrong++;
}
const list = (counts: ReadonlyMap<string, number>) => [...counts].map(([what, times]) => `${times} ${what}`).join(", ");
console.log(`${list(ends)}; ${migrations} migrations`);
console.log(
  `${handOffs} requests in two legs; blocks that came, and fetches that brought less: ${list(transfers) || "none"}`,
);
console.log(wrong === 0 ? "Nothing is wrong." : `${wrong} of ${count} worlds went wrong.`);
process.exitCode = wrong === 0 ? 0 : 1;
