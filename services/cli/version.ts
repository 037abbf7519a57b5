import { readFileSync } from "node:fs";

// From a checkout package.json is two folders up; dist/ carries one of its own with the same version.
const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

/** Version of this program. */
export const VERSION: string = manifest.version;
