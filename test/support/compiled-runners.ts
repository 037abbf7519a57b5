import path from "node:path";
import { toolCacheFolder } from "#services/cli/stubs/tool-cache";

/** Where a runner is built and run. All paths are absolute. */
export interface RunnerPlace {
  /** The package of stubs with the contracts of others. Build commands are run in it and may add to it. */
  readonly stubs: string;
  /** Sources of the runner: `test/contract/LANGUAGE`. */
  readonly sources: string;
  /** An empty folder for what is built. */
  readonly build: string;
}

/** The runner in Java: its classes lie beside those of the stubs, whose libraries are all that it needs. */
export const JAVA_RUNNER = {
  build: ({ sources }: RunnerPlace) => [
    ["mvn", "--batch-mode", "--quiet", "package"],
    [
      "javac",
      "-d",
      "target/classes",
      "-cp",
      "target/classes:target/lib/*",
      "-sourcepath",
      sources,
      `${sources}/Runner.java`,
    ],
  ],
  // The second compiler of the JVM costs more than it gives in a few seconds.
  run: ({ stubs }: RunnerPlace): [string, ...string[]] => [
    "java",
    ...["-XX:TieredStopAtLevel=1", "-cp", `${stubs}/target/classes:${stubs}/target/lib/*`, "Runner"],
  ],
};

/** The runner in Rust: a crate inside that of the stubs, compiled where the libraries of all stubs are. */
export const RUST_RUNNER = {
  build: ({ sources, build }: RunnerPlace) => [
    ["cp", "-r", sources, "runner"],
    ["cargo", "build", "--quiet", "--manifest-path", "runner/Cargo.toml"],
    ["cp", path.join(toolCacheFolder(), "cargo-target/debug/corpus-runner"), build],
  ],
  run: ({ build }: RunnerPlace): [string, ...string[]] => [`${build}/corpus-runner`],
};
