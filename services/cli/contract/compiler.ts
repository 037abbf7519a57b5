import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

/** Where somebody stands who asks for a comparison. */
export interface Place {
  /** The working folder. */
  readonly folder: string;
  /** PATH. */
  readonly searched: string;
}

/** Programs that read contracts: each is what begins its command line; absent where it is not at hand. */
export interface Compilers {
  /** buf, which compiles and compares. */
  readonly buf?: readonly string[] | undefined;
  /** protoc, which compiles. */
  readonly protoc?: readonly string[] | undefined;
}

/** Looks for the buf of this program, then of the project around the working folder, then for buf and protoc in PATH. */
export function findCompilers({ folder, searched }: Place): Compilers {
  const found = bufPackage(import.meta.url) ?? bufPackage(path.join(folder, "package.json"));
  const buf = found === undefined ? inPath("buf", searched) : [process.execPath, found];
  return { buf, protoc: inPath("protoc", searched) };
}

/** The JavaScript that starts the buf which npm installed for whoever `from` is. */
function bufPackage(from: string): string | undefined {
  try {
    const manifest = createRequire(from).resolve("@bufbuild/buf/package.json");
    const { bin } = JSON.parse(readFileSync(manifest, "utf8")) as { readonly bin: Readonly<Record<string, string>> };
    const start = bin.buf === undefined ? undefined : path.join(path.dirname(manifest), bin.buf);
    return start !== undefined && existsSync(start) ? start : undefined;
  } catch {
    // Not installed there: the next place is asked.
    return undefined;
  }
}

function inPath(name: string, searched: string): readonly string[] | undefined {
  for (const folder of searched.split(path.delimiter).filter(Boolean)) {
    const file = path.join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return [file];
    } catch {
      // Not here: the next folder is asked.
    }
  }
  return undefined;
}
