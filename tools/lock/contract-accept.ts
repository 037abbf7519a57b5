// npm run contract:accept: makes the contracts of this checkout the ones that later changes must stay compatible with.
// With `-- --release 0.1.0` it keeps the image under that name as well, for ever, and the commit whose contracts it has.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "../run-tool.ts";
import { acceptedImage, buildImage, RELEASES, releasedImage } from "./contracts.ts";

const [option, version] = process.argv.slice(2);
if (option !== undefined && (option !== "--release" || version === undefined)) {
  process.stderr.write("Usage: npm run contract:accept [-- --release VERSION]\n");
  process.exitCode = 2;
} else {
  for (const file of [acceptedImage, ...(version === undefined ? [] : [releasedImage(version)])]) {
    buildImage(file);
    process.stdout.write(`written: ${path.relative(root, file)}\n`);
  }
  if (version !== undefined) nameCommit(version);
}

/** Says of which commit a release is. What runs from it is built again, so all of it must be committed. */
function nameCommit(version: string): void {
  const git = (...args: readonly string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  if (git("status", "--porcelain", "--", "proto", "lib", "services") !== "") {
    throw new Error("Commit what differs in proto, lib and services first: a release is a commit.");
  }
  const others = (JSON.parse(readFileSync(RELEASES, "utf8")) as { version: string }[]).filter(
    (one) => one.version !== version,
  );
  const rows = [...others, { version, commit: git("rev-parse", "HEAD") }].map((row) => `  ${JSON.stringify(row)}`);
  writeFileSync(RELEASES, `[\n${rows.join(",\n")}\n]\n`);
  process.stdout.write(`written: ${path.relative(root, RELEASES)}\n`);
}
