// npm run gen: makes gen/ afresh. gen/ is checked in, so that readers and installs without tools have it.
import { generateAll, writeGenerated } from "./generate.ts";

for (const name of writeGenerated(await generateAll())) {
  process.stdout.write(`changed: ${name}\n`);
}
