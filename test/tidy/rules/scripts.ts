import type { Rule } from "../tree.ts";

interface Manifest {
  readonly scripts?: Readonly<Record<string, string>>;
}

/** Every file that a script in package.json starts is there. */
export const scripts: Rule = ({ files }) => {
  const manifest = files.find(({ path }) => path === "package.json");
  const { scripts: all = {} } = JSON.parse(manifest?.text ?? "{}") as Manifest;
  return Object.entries(all).flatMap(([name, command]) => {
    const named = command.match(/\b[\w./-]+\.(ts|mjs|py|sh)\b/g) ?? [];
    const missing = named.filter((file) => !files.some(({ path }) => path === file));
    return missing.map((file) => `package.json: npm run ${name} starts ${file}, which is not there`);
  });
};
