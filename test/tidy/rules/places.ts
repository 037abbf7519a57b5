import { lineAt } from "../source.ts";
import type { Rule } from "../tree.ts";

const PLACES = [
  /(?<![\w.])\/(work|root|home\/\w+|Users\/\w+)\/[\w.-]+/g,
  /\bregistry\.[a-z0-9-]+\.[a-z]+/g,
  /\b(artifactory|nexus|verdaccio|jfrog)[.:/]/g,
  /"resolved": "/g,
];

/** No path of one machine and no address of a registry: both are true in one place only. */
export const places: Rule = ({ files }) => {
  return files
    .filter(({ path }) => !path.startsWith("test/tidy/"))
    .flatMap(({ path, text }) =>
      PLACES.flatMap((pattern) =>
        [...text.matchAll(pattern)].map((match) => `${path}:${lineAt(text, match.index)}: ${match[0]}`),
      ),
    );
};
