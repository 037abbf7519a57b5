import { defineConfig } from "vitest/config";

const shared = { environment: "node", pool: "forks", testTimeout: 30_000, hookTimeout: 60_000 } as const;

/**
 * Three projects. `unit` shares one process per core, so no test may touch a signal, a fixed port or the working
 * directory. `process` isolates each file and runs one at a time: real child processes, signals, sockets. `engine`
 * is the same for files that load libllama, which may abort the process.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...shared,
          name: "unit",
          isolate: false,
          include: ["{lib,services,tools}/**/*.test.ts", "test/{tidy,contract,conformance,bench,support}/**/*.test.ts"],
          exclude: ["**/*.process.test.ts", "**/*.engine.test.ts", "services/cli/new/templates/**"],
        },
      },
      {
        test: {
          ...shared,
          name: "process",
          fileParallelism: false,
          testTimeout: 120_000,
          include: ["**/*.process.test.ts", "test/{integration,e2e}/**/*.test.ts"],
          exclude: ["node_modules/**", "**/*.engine.test.ts"],
        },
      },
      {
        test: {
          ...shared,
          name: "engine",
          fileParallelism: false,
          testTimeout: 120_000,
          include: ["**/*.engine.test.ts"],
          exclude: ["node_modules/**"],
        },
      },
    ],
  },
});
