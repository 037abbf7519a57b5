/** Floor of every room. A folder imports strictly lower floors; the table is HOUSE's, and a new room gets its row here. */
export const FLOORS: Readonly<Record<string, number>> = {
  gen: 0,
  "lib/base": 0,
  "lib/host": 1,
  "lib/tokens": 1,
  "lib/text": 1,
  "lib/perf": 1,
  "lib/api": 1,
  "lib/contract": 1,
  "lib/stubs": 1,
  "lib/native": 2,
  "lib/rpc": 2,
  "lib/kv": 2,
  "lib/discovery": 3,
  "lib/link": 3,
  "lib/events": 3,
  "lib/transfer": 3,
  "lib/routing": 3,
  "lib/planning": 3,
  "lib/shared": 3,
  "lib/serving": 4,
  "lib/engines": 4,
  "lib/conform": 4,
  "lib/dispatch": 5,
  "lib/worker": 5,
  "lib/simulation": 6,
  "services/frontend": 7,
  "services/router": 7,
  "services/worker": 7,
  "services/kvbm": 7,
  "services/planner": 7,
  "services/operator": 7,
  "services/picker": 7,
  "services/dashboard": 7,
  "services/hub": 7,
  "services/cli": 8,
};

/** The only folder in which services are joined. */
export const COMPOSE = "services/cli/compose/";

/** Folders without I/O, time and chance of their own. */
export const PURE: readonly string[] = [
  "lib/base/",
  "lib/tokens/",
  "lib/text/",
  "lib/perf/",
  "lib/api/",
  "lib/contract/",
  "lib/stubs/",
  "lib/kv/",
  "lib/routing/",
  "lib/planning/",
  "lib/serving/",
  "lib/engines/schedule/",
  "lib/simulation/replay/report/",
  "services/frontend/doors/",
];

/** The room of a file: its first two folders, `gen` for stubs, undefined outside of lib, services and gen. */
export function roomOf(file: string): string | undefined {
  if (file.startsWith("gen/")) return "gen";
  return /^(lib|services)\/[^/]+(?=\/)/.exec(file)?.[0];
}

/** Whether a file belongs to a pure folder. Tests beside a pure source may wait, draw and print. */
export function isPure(file: string): boolean {
  return PURE.some((folder) => file.startsWith(folder)) && !file.endsWith(".test.ts");
}
