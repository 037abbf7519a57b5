import { globSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import type { Check } from "./check.ts";
import { LINK_CHECKS } from "./conform-worker.ts";
import { ENGINE_CHECKS } from "./openengine/conform-engine.ts";
import { ENGINE_FAULTS } from "./openengine/engine-faults.ts";
import { DISCOVERY_CHECKS } from "./services/discovery-checks.ts";
import { FRONTEND_CHECKS } from "./services/frontend-checks.ts";
import { KSERVE_CHECKS } from "./services/kserve-checks.ts";

/** Text of files without what marks comments, emphasis and ends of lines. */
function plain(files: readonly string[]): string {
  const texts = files.map((file) => readFileSync(file, "utf8"));
  return texts
    .join("\n")
    .replace(/^\s*(\/\/|-)/gm, "")
    .replace(/[*`]/g, "")
    .replace(/\s+/g, " ");
}

const KIT: readonly (readonly [
  string,
  readonly Pick<Check<never>, "name" | "sentence" | "of">[],
  readonly string[],
])[] = [
  ["the link", LINK_CHECKS, ["docs/link.md", "proto/ours/stator/worker/v1/link.proto"]],
  ["openengine.v1", ENGINE_CHECKS, ["docs/conformance.md", ...globSync("proto/foreign/openengine/v1/*.proto")]],
  ["discovery", DISCOVERY_CHECKS, ["proto/ours/stator/discovery/v1/discovery.proto"]],
  ["OpenAI's API", FRONTEND_CHECKS, ["docs/conformance.md"]],
  ["KServe's protocol", KSERVE_CHECKS, ["docs/conformance.md"]],
];

it.each(KIT)("each check of %s holds a sentence that stands in its contract", (_contract, checks, files) => {
  const text = plain(files);
  expect(checks.filter(({ sentence }) => !text.includes(sentence)).map(({ sentence }) => sentence)).toEqual([]);
  expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
});

it("openengine.v1 has at least 60 checks, and each fault one that names it", () => {
  const names = new Set(["is ready only when it takes requests", ...ENGINE_CHECKS.map(({ name }) => name)]);
  expect(names.size).toBeGreaterThanOrEqual(60);
  expect(ENGINE_FAULTS.filter(({ check }) => !names.has(check))).toEqual([]);
  expect(new Set(ENGINE_FAULTS.map(({ name }) => name)).size).toBe(16);
});
