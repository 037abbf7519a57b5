import { expect, test } from "vitest";
import { resolveConfig } from "#lib/host/config/resolve";
import { OPTIONS } from "./compose/options.ts";
import { printModelReport } from "./model-report.ts";

test("a model's line says what was chosen and by what", () => {
  const { config } = resolveConfig(OPTIONS, {
    args: ["--llama-threads", "4"],
    env: { STATOR_LLAMA_GPU_LAYERS: "0" },
    file: { llama: { "context-tokens": 512 } },
  });
  const facts = [
    { what: "size", value: "17.4 MiB", by: "19 million parameters" },
    { what: "context", value: "512 tokens" },
    { what: "threads", value: "4" },
    { what: "device", value: "CPU" },
    { what: "shape", value: "round" },
  ];
  const report = { name: "m", engine: "llama", asked: "chat" as const, facts };
  expect(printModelReport(report, config)).toBe(
    "m: size 17.4 MiB (19 million parameters), context 512 tokens (the configuration file), threads 4 (--llama-threads), device CPU (STATOR_LLAMA_GPU_LAYERS), shape round",
  );
  const usual = resolveConfig(OPTIONS, { args: [], env: {}, file: undefined }).config;
  expect(printModelReport(report, usual)).toContain("threads 4 (default)");
});
