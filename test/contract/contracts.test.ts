import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { generateStubs, staleFiles } from "../../tools/gen/generate.ts";
import {
  buildImage,
  checkCompatibility,
  checkContractFormat,
  compareImages,
  explainBreaks,
  keptImages,
  lintContracts,
} from "../../tools/lock/contracts.ts";
import { root } from "../../tools/run-tool.ts";
import { inTemporaryFolder } from "../../tools/temporary-folder.ts";

const SUCCESS = { ok: true, output: "" };

describe("the contracts in proto/", () => {
  test("follow the style: names, suffixes, a comment on every element", () => {
    expect(lintContracts()).toEqual(SUCCESS);
  });

  test("are laid out as buf format writes them", () => {
    expect(checkContractFormat()).toEqual(SUCCESS);
  });

  test("stay compatible with the accepted contract and with every release", () => {
    expect(keptImages().every((file) => existsSync(file))).toBe(true);
    expect(checkCompatibility()).toEqual(SUCCESS);
  });

  test("are what gen/ts was generated from", () => {
    expect(staleFiles(generateStubs(), "gen/ts")).toEqual([]);
  });
});

/** Breaking edits: file, what is replaced, by what, and the element that the complaint must name. */
const BREAKING_EDITS = [
  {
    edit: "a field of ours that changes its type",
    file: "proto/ours/stator/worker/v1/link.proto",
    from: "uint32 duration_us = 3;",
    to: "string duration_us = 3;",
    names: "duration_us",
  },
  {
    edit: "a field of ours that is gone",
    file: "proto/ours/stator/worker/v1/link.proto",
    from: "  // Requests that run.\n  uint32 running_requests = 14;\n",
    to: "",
    names: "running_requests",
  },
  {
    edit: "a field of ours that is renamed",
    file: "proto/ours/stator/common/v1/common.proto",
    from: "http_status",
    to: "http_code",
    names: "http_status",
  },
  {
    edit: "a field of others that moves to another number",
    file: "proto/foreign/openengine/v1/generation.proto",
    from: "optional string cache_salt = 3;",
    to: "optional string cache_salt = 4;",
    names: "cache_salt",
  },
] as const;

describe("a breaking edit to a copy", () => {
  test.each(BREAKING_EDITS)("is refused: $edit", ({ file, from, to, names }) => {
    inTemporaryFolder((copy) => {
      const before = path.join(copy, "before.binpb");
      const now = path.join(copy, "now.binpb");
      copyContracts(copy);
      buildImage(before, copy);
      edit(path.join(copy, file), from, to);
      buildImage(now, copy);
      const { ok, output } = compareImages(now, before);
      expect(ok).toBe(false);
      expect(output).toContain(names);
      expect(explainBreaks(now, before)).toContain(names);
    });
  });

  test("is not seen where there is none: a new field is accepted", () => {
    inTemporaryFolder((copy) => {
      const before = path.join(copy, "before.binpb");
      const now = path.join(copy, "now.binpb");
      copyContracts(copy);
      buildImage(before, copy);
      const field = "message Goodbye {\n  // Why.\n  string why = 1;\n}";
      edit(path.join(copy, "proto/ours/stator/worker/v1/link.proto"), "message Goodbye {}", field);
      buildImage(now, copy);
      expect(compareImages(now, before)).toEqual(SUCCESS);
      expect(explainBreaks(now, before)).toBe("");
    });
  });
});

function copyContracts(folder: string): void {
  for (const name of ["proto", "buf.yaml"]) cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
}

/** Replaces the first `from`; a text that is not there is a mistake in the table above. */
function edit(file: string, from: string, to: string): void {
  const before = readFileSync(file, "utf8");
  if (!before.includes(from)) throw new Error(`${file} does not contain ${JSON.stringify(from)}`);
  writeFileSync(file, before.replace(from, to));
}
