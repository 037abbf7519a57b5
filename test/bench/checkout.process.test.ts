import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { checkoutCommit } from "./checkout.ts";

const BUILD = `
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
mkdirSync("native/build", { recursive: true });
writeFileSync("native/build/stamp", "built");
appendFileSync("builds.txt", "once ");
`;

/** A lock file of one package; the name of the project says nothing. */
const lockOf = (version: string, name = "one") => JSON.stringify({ name, packages: { "": { name }, a: { version } } });
const LOCK = lockOf("1.0.0");

test("a commit is put beside with its own product, the benchmarks and the packages of here", ({ onTestFinished }) => {
  const folder = mkdtempSync(path.join(tmpdir(), "stator-checkout-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const root = path.join(folder, "here");
  const place = { root, cache: path.join(folder, "cache") };
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  const put = (files: Record<string, string>) => {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
      writeFileSync(path.join(root, file), text);
    }
  };
  put({ "package.json": "{}", "package-lock.json": LOCK, "native/build.mjs": BUILD });
  put({ "lib/product.ts": "old", "test/bench/case.ts": "old", "test/bench/gone.ts": "old" });
  git("init", "--quiet");
  git("add", "--all");
  git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "one");
  rmSync(path.join(root, "test/bench/gone.ts"));
  put({
    "package-lock.json": lockOf("1.0.0", "two"),
    "lib/product.ts": "new",
    "test/bench/case.ts": "new",
    "node_modules/a/index.js": "",
  });

  const { root: beside, commit } = checkoutCommit("HEAD", place);
  const read = (file: string) => readFileSync(path.join(beside, file), "utf8");
  expect(commit).toBe(git("rev-parse", "HEAD").slice(0, 12));
  expect(read("lib/product.ts")).toBe("old");
  expect(read("test/bench/case.ts")).toBe("new");
  expect(() => read("test/bench/gone.ts")).toThrow("ENOENT");
  expect(realpathSync(path.join(beside, "node_modules"))).toBe(realpathSync(path.join(root, "node_modules")));
  expect(read("native/build/stamp")).toBe("built");

  // The second time takes what is there, with the benchmarks as they are now.
  writeFileSync(path.join(beside, "lib/product.ts"), "kept");
  put({ "test/bench/case.ts": "newer" });
  expect(checkoutCommit(commit, place).root).toBe(beside);
  expect(read("lib/product.ts")).toBe("kept");
  expect(read("test/bench/case.ts")).toBe("newer");
  expect(git("worktree", "list").split("\n")).toHaveLength(1);
  expect(() => checkoutCommit("nothing", place)).toThrow("There is no commit nothing here.");
});
