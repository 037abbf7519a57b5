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
  const check = createAdapterFolder(folder, { mostBytes: 8 }).check;
  for (const file of [at("mine", "a"), at("mine", "deep", "b"), at("mine", "inward"), at("by-link", "a")])
    await check(file);
  await createAdapterFolder(at("by-link")).check(at("mine", "a"));
  await createAdapterFolder("/").check(at("secret"));
});

test.each([
  "/dev/zero",
  at("secret"),
  at("mine", "outward"),
  at("mine", "zero"),
  at("mine-too", "c"),
  at("mine", "..", "secret"),
])("%s lies elsewhere", async (file) => {
  await expect(createAdapterFolder(folder).check(file)).rejects.toMatchObject({
    reason: "INVALID_ARGUMENT",
    message: "adapter: source_path expected a file below the adapter folder.",
  });
});

test("what is no file, is not there or is too long does not pass, and nothing passes without a folder", async () => {
  for (const file of [folder, at("mine", "deep"), at("mine", "pipe"), at("mine", "nothing")]) {
    await expect(createAdapterFolder(folder).check(file), file).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  }
  await expect(createAdapterFolder(folder, { mostBytes: 7 }).check(at("mine", "a"))).rejects.toThrow(
    "is longer than 7 bytes",
  );
  await expect(createAdapterFolder(undefined).check(at("mine", "a"))).rejects.toMatchObject({
    reason: "FEATURE_DISABLED",
  });
});

test("a file is found by its name, which leads nowhere else, and all names are told in order", async () => {
  for (const name of ["z", "b", "inner"]) writeFileSync(at("mine", `${name}.gguf`), "12345678");
  symlinkSync(at("secret"), at("mine", "away.gguf"));
  mkdirSync(at("mine", "folder.gguf"));
  const own = createAdapterFolder(folder, { mostBytes: 8 });
  expect(await own.list()).toEqual(["away", "b", "folder", "inner", "z"]);
  expect(await own.find("b")).toBe(at("mine", "b.gguf"));
  for (const name of ["", "a", "deep/b", "../secret", "../mine/b", "b\0"]) {
    await expect(own.find(name), name).rejects.toMatchObject({ reason: "NOT_FOUND" });
  }
  for (const name of ["away", "folder"]) {
    await expect(own.find(name), name).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" });
  }
  expect(await createAdapterFolder(undefined).list()).toEqual([]);
  await expect(createAdapterFolder(undefined).find("b")).rejects.toMatchObject({ reason: "FEATURE_DISABLED" });
});
