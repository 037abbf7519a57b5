import { lineAt } from "../source.ts";
import type { Rule } from "../tree.ts";

interface Pattern {
  readonly what: string;
  readonly pattern: RegExp;
  /** Files in which it is looked for. */
  readonly where: RegExp;
  readonly except?: RegExp;
}

const CODE = /\.(ts|mjs|cpp|h|hpp|cc)$/;
const OURS = /^(lib|services)\/.*\.ts$/;

const PATTERNS: readonly Pattern[] = [
  { what: "a note to oneself", pattern: /\b(FIXME|TODO|XXX|HACK)\b/g, where: /./, except: /^(test\/tidy\/|models\/)/ },
  {
    what: "a lonely test",
    pattern: /\b(describe|test|it)(\.\w+)*\.only\b/g,
    where: /\.test\.ts$/,
    except: /^test\/tidy\//,
  },
  { what: "debugger", pattern: /^\s*debugger\b/gm, where: CODE },
  { what: "console", pattern: /\bconsole\.\w+\(/g, where: OURS, except: /^services\/cli\// },
  {
    what: "the environment, which the cli alone reads",
    pattern: /\bprocess\.env\b/g,
    where: OURS,
    except: /^services\/cli\/|\.test\.ts$/,
  },
  {
    what: "an error that is no StatorError",
    pattern: /\bthrow new (Error|TypeError|RangeError)\b/g,
    where: OURS,
    except: /^lib\/base\/|\.test\.ts$/,
  },
];

/** What is left lying about: notes to oneself, lonely tests, prints, foreign errors, reads of the environment. */
export const leftovers: Rule = ({ files }) => {
  return files.flatMap(({ path, text }) =>
    PATTERNS.filter(({ where, except }) => where.test(path) && !except?.test(path)).flatMap(({ what, pattern }) =>
      [...text.matchAll(pattern)].map((match) => `${path}:${lineAt(text, match.index)}: ${what}: ${match[0].trim()}`),
    ),
  );
};
