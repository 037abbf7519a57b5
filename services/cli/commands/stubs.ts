import { StatorError } from "#lib/base/errors";
import { LANGUAGES } from "#lib/stubs/recipe";
import { RECIPES } from "#lib/stubs/recipes";
import type { Command } from "../command.ts";
import { generateStubs } from "../stubs/generate-stubs.ts";

const NAMES = LANGUAGES.map((language) => `${language} ${RECIPES[language].initialName}`).join(", ");

/** `stator stubs`: a package of the contracts in another language. */
export const stubs: Command = {
  arguments: "",
  help:
    "Writes a package that builds as it lies there: stubs of Stator's contracts, a project file with pinned versions, an\n" +
    "example that calls, and a README. Plugins are made once, with what the machine has of the language, and kept below\n" +
    "XDG_CACHE_HOME. docs/polyglot.md shows the use. Names without --package:\n" +
    `${NAMES}.`,
  says: { out: "Folder that becomes the package: absent or empty." },
  options: ["lang", "out", "package", "foreign"],
  async run({ values, print, screen, stopped }) {
    const { lang: language, out, package: packageName, foreign } = values;
    if (language === undefined || out === undefined) {
      const detail = `Say \`stator stubs --lang ${LANGUAGES.join("|")} --out DIR\`.`;
      throw new StatorError("BAD_CONFIG", { detail });
    }
    const stop = new AbortController();
    const end = (): void => stop.abort();
    stopped.then(end, end);
    const progress = (line: string): void => screen.note(`${line}\n`);
    const made = await generateStubs({ language, out, packageName, foreign, progress, signal: stop.signal });
    print(
      `${made.folder}: ${RECIPES[language].title} stubs, ${made.project.packages.join(", ")}. README.md says how to build.`,
    );
    return 0;
  },
};
