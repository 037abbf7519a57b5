import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { instrument, SWITCH } from "./instrument.ts";

const ROOT = path.join(import.meta.dirname, "../..");

/**
 * The swaps of arguments that the compiler refuses: nobody could make that mistake, so they are no mutants. Compiles a copy
 * of the sources in `folder`, in which each argument may be the other one as well.
 */
export function findMisfits(folder: string, firstIds: Readonly<Record<string, number>>): Set<number> {
  const copy = path.join(folder, "copy");
  mkdirSync(copy);
  for (const part of ["lib", "services", "gen/ts", "package.json", "tsconfig.json"]) {
    cpSync(path.join(ROOT, part), path.join(copy, part), { recursive: true });
  }
  symlinkSync(path.join(ROOT, "node_modules"), path.join(copy, "node_modules"));
  const config = {
    extends: "./tsconfig.json",
    compilerOptions: { noEmit: true },
    include: [],
    files: Object.keys(firstIds),
  };
  writeFileSync(path.join(copy, "tsconfig.mutants.json"), JSON.stringify(config));
  const misfits = new Set<number>();
  // Of one call the compiler names one argument at a time.
  for (let before = -1; before < misfits.size; ) {
    before = misfits.size;
    for (const id of compile(copy, firstIds, misfits)) misfits.add(id);
  }
  return misfits;
}

function compile(copy: string, firstIds: Readonly<Record<string, number>>, without: ReadonlySet<number>): Set<number> {
  const texts = new Map<string, string>();
  for (const [file, firstId] of Object.entries(firstIds)) {
    const { code } = instrument(file, readFileSync(path.join(ROOT, file), "utf8"), firstId, { without });
    texts.set(file, code);
    writeFileSync(path.join(copy, file), `${code}\ndeclare function ${SWITCH}(id: number): boolean;\n`);
  }
  const tsc = path.join(ROOT, "node_modules/.bin/tsc");
  const { stdout } = spawnSync(tsc, ["-p", "tsconfig.mutants.json", "--pretty", "false"], {
    cwd: copy,
    encoding: "utf8",
  });
  return readErrors(stdout, texts);
}

/** The switches that errors of the compiler point at: `FILE(LINE,COLUMN): error …`. */
export function readErrors(output: string, texts: ReadonlyMap<string, string>): Set<number> {
  const misfits = new Set<number>();
  for (const [, file = "", line, column] of output.matchAll(/^(\S+)\((\d+),(\d+)\): error/gm)) {
    const text = texts.get(file)?.split("\n")[Number(line) - 1];
    if (text === undefined) continue;
    // An error may point at the whole argument, which begins with a parenthesis, or at one half of it.
    const before = text.slice(0, Number(column) + SWITCH.length + 8);
    const asked = [...before.matchAll(/\$mutant\((\d+)\)/g)].filter(({ index }) => index <= Number(column)).at(-1);
    if (asked) misfits.add(Number(asked[1]));
  }
  return misfits;
}
