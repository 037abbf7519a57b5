// One start of vitest over instrumented sources, as the plan says. A process of its own, so that it can be ended when a
// mutant holds it for ever.
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { startVitest } from "vitest/node";
import { instrument } from "./instrument.ts";
import { readPlan } from "./plan.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const { firstIds, tests } = readPlan();

const vitest = await startVitest(
  "test",
  [],
  {
    root: ROOT,
    config: false,
    watch: false,
    include: [...tests],
    pool: "forks",
    isolate: false,
    maxWorkers: 2,
    // What is kept of another run has other numbers in it.
    fsModuleCache: false,
    testTimeout: 120_000,
    silent: true,
    reporters: [{}],
    passWithNoTests: true,
    dangerouslyIgnoreUnhandledErrors: true,
    runner: fileURLToPath(new URL("./runner.config.ts", import.meta.url)),
  },
  {
    plugins: [
      {
        name: "mutants",
        enforce: "pre",
        transform(_code: string, id: string) {
          const file = path.relative(ROOT, id);
          const firstId = firstIds[file];
          // The text as it is on the disk, in which the mutants were numbered.
          return firstId === undefined ? undefined : instrument(file, readFileSync(id, "utf8"), firstId).code;
        },
      },
    ],
  },
);
await vitest.close();
