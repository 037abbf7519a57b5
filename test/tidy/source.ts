import path from "node:path";
import { type Comment, type EcmaScriptModule, type ParseResult, type Program, parseSync } from "oxc-parser";

/** A file of the repository. */
export interface TextFile {
  /** Relative to the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** One import of a source. */
export interface Import {
  /** What is written in the import. */
  readonly request: string;
  /** The file it means, relative to the root; undefined when it is a package or a Node module. */
  readonly file: string | undefined;
  /** Names that are imported; `*` for a namespace or a dynamic import. */
  readonly names: readonly string[];
  /** Nothing of it is there at run time. */
  readonly typeOnly: boolean;
}

/** A TypeScript or JavaScript file, parsed. */
export interface Source extends TextFile {
  /** Static and dynamic imports, re-exports, and files named by `new URL(…, import.meta.url)`. */
  readonly imports: readonly Import[];
  readonly module: EcmaScriptModule;
  readonly comments: readonly Comment[];
  /** The syntax tree; made when first asked for. */
  readonly program: Program;
  /** It is a test or belongs to the tests. */
  readonly isTest: boolean;
}

const FILE_REFERENCE = /new URL\(\s*["'`]([^"'`$]+)["'`],\s*import\.meta\.url/g;

/** Parses one source. Throws with the parser's words when it has a syntax error. */
export function parseSource(file: string, text: string): Source {
  const result = parseSync(file, text);
  const error = result.errors[0];
  if (error !== undefined) throw new Error(`${file}: ${error.message}`);
  return {
    path: file,
    text,
    imports: readImports(file, text, result),
    module: result.module,
    comments: result.comments,
    get program() {
      return result.program;
    },
    isTest: file.startsWith("test/") || /\.test\.ts$/.test(file),
  };
}

/** Number of the line, from 1, at an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}

function readImports(file: string, text: string, { module }: ParseResult): Import[] {
  const found = (request: string, names: readonly string[], typeOnly: boolean): Import => {
    return { request, file: resolveImport(file, request), names, typeOnly };
  };
  const statics = module.staticImports.map(({ moduleRequest, entries }) => {
    const names = entries.map(({ importName }) =>
      importName.kind === "NamespaceObject" ? "*" : (importName.name ?? "default"),
    );
    return found(moduleRequest.value, names, entries.length > 0 && entries.every((entry) => entry.isType));
  });
  const again = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, importName, isType }) =>
      moduleRequest === null ? [] : [found(moduleRequest.value, [importName.name ?? "*"], isType)],
    ),
  );
  const dynamic = module.dynamicImports.flatMap(({ moduleRequest }) => {
    const quoted = /^["'`]([^"'`$]+)["'`]$/.exec(text.slice(moduleRequest.start, moduleRequest.end));
    return quoted?.[1] === undefined ? [] : [found(quoted[1], ["*"], false)];
  });
  const references = [...text.matchAll(FILE_REFERENCE)].map(([, request = ""]) => found(request, ["*"], false));
  return [...statics, ...again, ...dynamic, ...references];
}

/** The file that `request` means inside `file`, by the rules of package.json's imports map. */
function resolveImport(file: string, request: string): string | undefined {
  const mapped = /^#(lib|services|gen)\/(.+)$/.exec(request);
  if (mapped !== null) return `${mapped[1] === "gen" ? "gen/ts" : mapped[1]}/${mapped[2]}.ts`;
  if (!request.startsWith(".")) return undefined;
  return path.posix.normalize(path.posix.join(path.posix.dirname(file), request));
}
