import type { Project } from "./recipe.ts";

/** What a language's page says beside what all say. */
export interface Page {
  /** The language's name. */
  readonly title: string;
  /** Builds the package from its folder. */
  readonly build: string;
  /** Runs the example; its arguments follow. */
  readonly run: string;
  /** The example's source. */
  readonly example: string;
  /** Word behind the fence of the example. */
  readonly fence: string;
  /** A sentence more; may be empty. */
  readonly notes: string;
}

/** README.md of a package of stubs: what is in it, how it is built and used. */
export function readme({ name, version, foreign, packages }: Project, page: Page): string {
  const asked = foreign ? "127.0.0.1:8001 stator-demo" : "127.0.0.1:8001";
  const notes = page.notes === "" ? "" : `${page.notes}\n\n`;
  return `# ${name}

${page.title} stubs of Stator ${version}, generated: ${packages.join(", ")}.

\`\`\`sh
${page.build}
${page.run} ${asked}   # beside \`npm start -- --grpc-port 8001\`
\`\`\`

${notes}\`\`\`${page.fence}
${page.example}\`\`\`
`;
}
