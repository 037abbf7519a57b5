import { roomOf } from "../house.ts";
import type { Rule, Tree } from "../tree.ts";

/** Every room has a README, and every page has one title, on its first line. */
export const pages: Rule = (tree) => [...missingReadmes(tree), ...wrongTitles(tree)];

function missingReadmes({ files, sources }: Tree): string[] {
  const rooms = new Set(sources.flatMap(({ path }) => roomOf(path) ?? []));
  const missing = [...rooms].filter((room) => !files.some(({ path }) => path === `${room}/README.md`));
  return missing.map((room) => `${room}: no README.md`);
}

function wrongTitles({ files }: Tree): string[] {
  return files
    .filter(({ path }) => path.endsWith(".md"))
    .flatMap(({ path, text }) => {
      const prose = text.replaceAll(/^(`{3,}).*?^\1/gms, "");
      const titles = prose.match(/^# .+$/gm)?.length ?? 0;
      if (titles !== 1) return [`${path}: ${titles} titles`];
      return text.startsWith("# ") ? [] : [`${path}: the title is not on the first line`];
    });
}
