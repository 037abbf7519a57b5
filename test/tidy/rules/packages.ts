import type { Rule } from "../tree.ts";

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** npm runs `prepare` at the end of an install, with or without the development dependencies. */
const INSTALLED = /^(lib|services|bin|native)\/|^tools\/build\/prepare\.mjs$/;

/** What runs imports only packages that are installed with it: no development dependency, nothing undeclared. */
export const packages: Rule = ({ files, sources }) => {
  const file = files.find(({ path }) => path === "package.json");
  const { dependencies, optionalDependencies } = JSON.parse(file?.text ?? "{}") as Manifest;
  const declared = new Set([...Object.keys(dependencies ?? {}), ...Object.keys(optionalDependencies ?? {})]);
  return sources
    .filter(({ path, isTest }) => INSTALLED.test(path) && !isTest)
    .flatMap(({ path, imports }) =>
      imports
        .filter(({ file: target, request }) => target === undefined && !request.startsWith("node:"))
        .map(({ request }) => packageOf(request))
        .filter((name) => !declared.has(name))
        .map((name) => `${path}: ${name} is not among the dependencies`),
    );
};

function packageOf(request: string): string {
  return request
    .split("/")
    .slice(0, request.startsWith("@") ? 2 : 1)
    .join("/");
}
