import { globSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { instrument, type Mutant } from "./instrument.ts";

const ROOT = path.join(import.meta.dirname, "../..");

/** Sources that the names on the command line mean, tests left out; `link` is `lib/link`. */
export function findSources(names: readonly string[]): string[] {
  const found = names.flatMap((name) => {
    const inRoot = [name, `lib/${name}`].find((each) => statSync(path.join(ROOT, each), { throwIfNoEntry: false }));
    if (inRoot === undefined) return [];
    return inRoot.endsWith(".ts") ? [inRoot] : globSync(`${inRoot}/**/*.ts`, { cwd: ROOT });
  });
  return [...new Set(found)].filter((file) => !file.endsWith(".test.ts")).sort();
}

/** The tests of the rooms of some sources: those beside them, and the conformance suites that bear the room's name. */
export function findTests(sources: readonly string[]): string[] {
  const rooms = new Set(sources.map((file) => file.split("/").slice(0, 2).join("/")));
  const found = [...rooms].flatMap((room) => {
    const name = path.basename(room);
    const beside = globSync(`${room}/**/*.test.ts`, { cwd: ROOT });
    const conformance = globSync(`test/conformance/{${name},${name}-*.test.ts,${name}.test.ts,${name}/**/*.test.ts}`, {
      cwd: ROOT,
    });
    return [...beside, ...conformance];
  });
  return found.filter((file) => /(?<!\.process|\.engine)\.test\.ts$/.test(file)).sort();
}

/** All mutants of some sources, numbered through, and the number of each source's first. */
export function numberMutants(sources: readonly string[]): { firstIds: Record<string, number>; mutants: Mutant[] } {
  const firstIds: Record<string, number> = {};
  const mutants: Mutant[] = [];
  for (const file of sources) {
    firstIds[file] = mutants.length + 1;
    mutants.push(...instrument(file, readFileSync(path.join(ROOT, file), "utf8"), mutants.length + 1).mutants);
  }
  return { firstIds, mutants };
}
