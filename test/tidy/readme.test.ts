import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { root } from "../../tools/run-tool.ts";

// The code in a room's README runs as a test: a block that begins with ```ts is a module that throws when it is wrong.
// A block that is only a sketch begins with ```ts sketch.
const READMES = globSync("{lib,services}/**/README.md", { cwd: root }).sort();

test.each(READMES.filter((readme) => readme.startsWith("lib/")))("%s shows how the room is used", (readme) => {
  expect(codeBlocks(readme).length).toBeGreaterThan(0);
});

test.each(READMES.flatMap((readme) => codeBlocks(readme).map((code, at) => ({ readme, at: at + 1, code }))))(
  "the code in $readme, block $at, runs",
  async ({ readme, at, code }) => {
    const folder = path.join(root, ".cache/readme");
    const file = path.join(folder, `${readme.replaceAll("/", "-").replace("README.md", String(at))}.ts`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, `${code}\nexport {};\n`);
    await import(file);
  },
);

function codeBlocks(readme: string): string[] {
  const text = readFileSync(path.join(root, readme), "utf8");
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = ""]) => code);
}
