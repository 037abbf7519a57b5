import type { Rule } from "../tree.ts";

const FILE = /^[a-z0-9]+(-[a-z0-9]+)*(\.(process|engine|long))?(\.(test|config))?\.(ts|mjs)$/;
const FOLDER = /^[a-z0-9]+$/;
const BUCKETS = ["utils", "util", "helpers", "helper", "misc", "common", "types", "manager", "index"];

/** Files in kebab-case, folders of one word, and no name that says nothing. */
export const names: Rule = ({ sources }) => {
  return sources.flatMap(({ path }) => {
    const folders = path.split("/").filter((part) => part !== ".ci");
    const file = folders.pop() ?? "";
    if (!FILE.test(file)) return [`${path}: not in kebab-case`];
    if (BUCKETS.includes(file.replace(/\..*$/, ""))) return [`${path}: a bucket; name it after what it holds`];
    const wrong = folders.find((folder) => !FOLDER.test(folder));
    return wrong === undefined ? [] : [`${path}: the folder ${wrong} is not one word`];
  });
};
