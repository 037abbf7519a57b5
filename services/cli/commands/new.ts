import { StatorError } from "#lib/base/errors";
import type { Command } from "../command.ts";
import { createProject, PROJECT_KINDS, PROJECT_LANGUAGES } from "../new/create-project.ts";

/** `stator new`: a project that serves. */
export const newProject: Command = {
  arguments: "worker|service DIR",
  help:
    "A worker serves a model of your own; a service is any Protobuf service, which others find by discovery. DIR is absent\n" +
    "or empty, and its last part is the project's name. Its README.md says how it is tested and started. Those in Python\n" +
    "and Go have Stator's contracts in stubs, made as by `stator stubs`.",
  says: { lang: `Language of the project: ${PROJECT_LANGUAGES.join(", ")}.` },
  options: ["lang"],
  async run({ values, positional, print, screen, stopped }) {
    const [kindName, folder, ...more] = positional;
    const kind = PROJECT_KINDS.find((each) => each === kindName);
    const language = PROJECT_LANGUAGES.find((each) => each === values.lang);
    if (kind === undefined || language === undefined || folder === undefined || more.length > 0) {
      const detail = `Say \`stator new ${PROJECT_KINDS.join("|")} --lang ${PROJECT_LANGUAGES.join("|")} DIR\`.`;
      throw new StatorError("BAD_CONFIG", { detail });
    }
    const stop = new AbortController();
    const end = (): void => stop.abort();
    stopped.then(end, end);
    const progress = (line: string): void => screen.note(`${line}\n`);
    const made = await createProject({ kind, language, folder, progress, signal: stop.signal });
    print(`${made}: a ${kind} in ${values.lang}. README.md says how it is tested and started.`);
    return 0;
  },
};
