import { globalOf } from "../globals.ts";
import { type Import, lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";
import { walk } from "../walk.ts";

/** Where clocks and chance come in: the room that owns the machine, and the program that hands them on. */
const OWNERS = /^(lib\/host|services\/cli)\//;

/** The machine's clock and chance; whoever imports it takes them from nobody. */
const SYSTEM = "lib/host/system-clock.ts";

/** What begins by itself, so that nobody can hand it a clock. */
const BEGINNINGS: readonly string[] = [
  // The package's users call a service with nothing but a stub and an address, or with the place where it is announced.
  "lib/rpc/open-client.ts",
  "lib/discovery/open-services.ts",
  // The first file of a thread: no function crosses to it.
  "services/frontend/read/thread.ts",
];

const GLOBALS = new Set([
  ...["Date()", "new Date()", "Date.now", "performance", "process.hrtime", "process.uptime", "AbortSignal.timeout"],
  ...["setTimeout", "setInterval", "setImmediate", "queueMicrotask", "process.nextTick"],
  ...["Math.random", "crypto.randomUUID", "crypto.getRandomValues"],
]);

const MODULES = /^node:(timers(\/promises)?|perf_hooks)$/;
const CRYPTO_CHANCE = /^(random|getRandomValues|webcrypto|\*|default)/;
const PROCESS_TIME = /^(hrtime|uptime|nextTick)$/;

/** What runs takes time, turns and chance from a Clock and a Chance that it is given. */
export const clock: Rule = ({ sources }) => {
  return sources
    .filter(({ path, isTest }) => /^(lib|services)\//.test(path) && !isTest && !OWNERS.test(path))
    .flatMap((source) => [...source.imports.flatMap((one) => checkImport(source, one)), ...checkCode(source)]);
};

function checkImport({ path }: Source, { request, file, names, typeOnly }: Import): string[] {
  if (typeOnly) return [];
  const taken =
    MODULES.test(request) ||
    (file === SYSTEM && !BEGINNINGS.includes(path)) ||
    (request === "node:crypto" && names.some((name) => CRYPTO_CHANCE.test(name))) ||
    (request === "node:process" && names.some((name) => PROCESS_TIME.test(name)));
  return taken ? [`${path}: time or chance of its own, from ${request}`] : [];
}

function checkCode(source: Source): string[] {
  const found: string[] = [];
  walk(source.program, (node, parent) => {
    const taken = globalOf(node, parent);
    if (taken === undefined || !GLOBALS.has(taken)) return;
    found.push(`${source.path}:${lineAt(source.text, node.start)}: time or chance of its own: ${taken}`);
  });
  return found;
}
