import type { Rule } from "../tree.ts";

interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

interface LockEntry {
  readonly version?: string;
  readonly resolved?: string;
  readonly engines?: object;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** package-lock.json has an entry for every dependency on every platform, no download address, and no engines but ours. */
export const lock: Rule = ({ files }) => {
  const file = files.find(({ path }) => path === "package-lock.json");
  if (file === undefined) return ["package-lock.json: missing"];
  const { packages } = JSON.parse(file.text) as Lock;
  return Object.entries(packages).flatMap(([parent, entry]) => {
    const wanted = { ...entry.dependencies, ...entry.devDependencies, ...entry.optionalDependencies };
    const missing = Object.keys(wanted).filter((name) => !isLocked(packages, parent, name));
    const complaints = missing.map(
      (name) => `package-lock.json: ${parent || "the package"} needs ${name}; run npm run lock`,
    );
    if (entry.resolved !== undefined) complaints.push(`package-lock.json: ${parent} has an address`);
    if (entry.engines !== undefined && parent !== "") {
      complaints.push(`package-lock.json: ${parent} has engines; run npm run lock`);
    }
    return complaints;
  });
};

/** Whether `name`, needed by the package at `parent`, is found beside it or in a folder above. */
function isLocked(packages: Lock["packages"], parent: string, name: string): boolean {
  const nested = parent === "" ? "" : `${parent}/`;
  if (packages[`${nested}node_modules/${name}`] !== undefined) return true;
  return parent !== "" && isLocked(packages, parent.slice(0, Math.max(0, parent.lastIndexOf("/node_modules/"))), name);
}
