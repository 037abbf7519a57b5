import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { type BrokenModel, brokenModels, cutModels } from "../../test/support/broken-models.ts";
import { encoderModel, recurrentModel, windowModel } from "../../test/support/tiny-models.ts";
import { checkModelFile } from "./model-file.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-model-file-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function said(of: string): Promise<string> {
  try {
    await checkModelFile(of);
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(StatorError);
    expect((error as StatorError).row.retry).toBe("never");
    return (error as StatorError).message;
  }
}

function written({ name, bytes }: Pick<BrokenModel, "name" | "bytes">): string {
  const file = path.join(folder, `${name}.gguf`);
  writeFileSync(file, bytes);
  return file;
}

describe("a model file, by its first bytes", () => {
  it("passes when it is whole", async () => {
    const demo = new URL("../../models/stator-demo-q8_0.gguf", import.meta.url).pathname;
    expect(await said(demo)).toBe("");
    for (const [name, bytes] of Object.entries({ windowModel, recurrentModel, encoderModel })) {
      expect(await said(written({ name, bytes: bytes() }))).toBe("");
    }
  });

  it("is refused wherever it was cut", async () => {
    for (const broken of cutModels()) expect(await said(written(broken)), broken.name).toMatch(broken.says);
  });

  it.each(brokenModels().filter(({ inside }) => !inside))("is refused when it is broken: $name", async (broken) => {
    expect(await said(written(broken))).toMatch(broken.says);
  });

  it("is refused when it is none: a folder, a pipe, nothing", async () => {
    const pipe = path.join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    expect(await said(folder)).toContain("it is a folder");
    expect(await said(pipe)).toContain("it is not a file");
    expect(await said("/dev/zero")).toContain("it is not a file");
    expect(await said(path.join(folder, "missing"))).toContain("There is no file");
  });
});
