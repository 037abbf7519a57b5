import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { createAdapterFolder } from "./adapter-folder.ts";

const root = mkdtempSync(path.join(tmpdir(), "stator-adapters-"));
const folder = path.join(root, "mine");
const at = (...parts: string[]) => path.join(root, ...parts);

mkdirSync(path.join(folder, "deep"), { recursive: true });
mkdirSync(at("mine-too"));
for (const file of [at("mine", "a"), at("mine", "deep", "b"), at("secret"), at("mine-too", "c")])
  writeFileSync(file, "12345678");
symlinkSync(at("mine", "a"), at("mine", "inward"));
symlinkSync(at("secret"), at("mine", "outward"));
symlinkSync("/dev/zero", at("mine", "zero"));
symlinkSync(folder, at("by-link"));
execFileSync("mkfifo", [at("mine", "pipe")]);
afterAll(() => rmSync(root, { recursive: true }));

test("a regular file below the folder passes, by whatever way it is named", async () => {
  const check = createAdapterFolder(folder, { mostBytes: 8 });
  for (const file of [at("mine", "a"), at("mine", "deep", "b"), at("mine", "inward"), at("by-link", "a")])
    await check(file);
  await createAdapterFolder(at("by-link"))(at("mine", "a"));
  await createAdapterFolder("/")(at("secret"));
});

test.each([
  "/dev/zero",
  at("secret"),
  at("mine", "outward"),
  at("mine", "zero"),
  at("mine-too", "c"),
  at("mine", "..", "secret"),
])("%s lies elsewhere", async (file) => {
  await expect(createAdapterFolder(folder)(file)).rejects.toMatchObject({
    reason: "INVALID_ARGUMENT",
    message: "adapter: source_path expected a file below the adapter folder.",
  });
});

test("what is no file, is not there or is too long does not pass, and nothing passes without a folder", async () => {
  for (const file of [folder, at("mine", "deep"), at("mine", "pipe"), at("mine", "nothing")]) {
    await expect(createAdapterFolder(folder)(file), file).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  }
  await expect(createAdapterFolder(folder, { mostBytes: 7 })(at("mine", "a"))).rejects.toThrow(
    "is longer than 7 bytes",
  );
  await expect(createAdapterFolder(undefined)(at("mine", "a"))).rejects.toMatchObject({ reason: "FEATURE_DISABLED" });
});
