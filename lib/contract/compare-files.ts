import type { DescFile } from "@bufbuild/protobuf";
import { Edition, FileOptionsSchema } from "@bufbuild/protobuf/wkt";
import type { Comparison } from "./comparison.ts";
import { type Contract, packageOf } from "./contract.ts";
import { changedOptions } from "./options.ts";
import { plural } from "./plural.ts";

/** Options of a file that decide what stubs look like: whose, and the rule of buf. */
const STUB_OPTIONS: Readonly<Record<string, readonly [language: string, rule: string]>> = {
  go_package: ["Go", "FILE_SAME_GO_PACKAGE"],
  java_package: ["Java", "FILE_SAME_JAVA_PACKAGE"],
  java_outer_classname: ["Java", "FILE_SAME_JAVA_OUTER_CLASSNAME"],
  java_multiple_files: ["Java", "FILE_SAME_JAVA_MULTIPLE_FILES"],
  java_generic_services: ["Java", "FILE_SAME_JAVA_GENERIC_SERVICES"],
  java_string_check_utf8: ["Java", "FIELD_SAME_JAVA_UTF8_VALIDATION"],
  csharp_namespace: ["C#", "FILE_SAME_CSHARP_NAMESPACE"],
  objc_class_prefix: ["Objective-C", "FILE_SAME_OBJC_CLASS_PREFIX"],
  php_class_prefix: ["PHP", "FILE_SAME_PHP_CLASS_PREFIX"],
  php_namespace: ["PHP", "FILE_SAME_PHP_NAMESPACE"],
  php_metadata_namespace: ["PHP", "FILE_SAME_PHP_METADATA_NAMESPACE"],
  ruby_package: ["Ruby", "FILE_SAME_RUBY_PACKAGE"],
  swift_prefix: ["Swift", "FILE_SAME_SWIFT_PREFIX"],
  optimize_for: ["C++ and Java", "FILE_SAME_OPTIMIZE_FOR"],
  cc_enable_arenas: ["C++", "FILE_SAME_CC_ENABLE_ARENAS"],
  cc_generic_services: ["C++", "FILE_SAME_CC_GENERIC_SERVICES"],
  py_generic_services: ["Python", "FILE_SAME_PY_GENERIC_SERVICES"],
};

/** Packages and files: new, gone, of another package, with other options. */
export function compareFiles(comparison: Comparison): void {
  const { before, after } = comparison;
  comparePackages(comparison);
  for (const [name, file] of before.files) {
    const now = after.files.get(name);
    if (now) compareFile(file, now, comparison);
    else addFile("FILE_REMOVED", file, {}, comparison);
  }
  for (const [name, file] of after.files) if (!before.files.has(name)) addFile("FILE_ADDED", file, {}, comparison);
}

function comparePackages(comparison: Comparison): void {
  const old = packagesOf(comparison.before);
  const now = packagesOf(comparison.after);
  const lists = [
    ["PACKAGE_REMOVED", old, now, comparison.before],
    ["PACKAGE_ADDED", now, old, comparison.after],
  ] as const;
  for (const [kind, mine, theirs, contract] of lists) {
    for (const [name, file] of mine) {
      if (theirs.has(name) || movedAlong(name, contract, comparison)) continue;
      const facts = { name: name || "(none)", count: countOf(name, contract) };
      comparison.add({ kind, element: name, file, package: name, facts });
    }
  }
}

/** Packages with the first file of each. */
function packagesOf({ files }: Contract): ReadonlyMap<string, string> {
  const packages = new Map<string, string>();
  for (const [name, file] of files) if (!packages.has(packageOf(file))) packages.set(packageOf(file), name);
  return packages;
}

/** Whether the files of a package are still there, with another package: then that is what is told of them. */
function movedAlong(name: string, contract: Contract, { before, after }: Comparison): boolean {
  const other = contract === before ? after : before;
  const files = [...contract.files.values()].filter((file) => packageOf(file) === name);
  return files.every((file) => other.files.has(file.proto.name));
}

function countOf(name: string, { files }: Contract): string {
  const own = [...files.values()].filter((file) => packageOf(file) === name);
  const parts = (["services", "messages", "enums"] as const).map((what) => {
    return [what, own.reduce((sum, file) => sum + file[what].length, 0)] as const;
  });
  const told = parts.filter(([, count]) => count > 0).map(([what, count]) => plural(count, what.slice(0, -1)));
  return told.length === 0 ? "nothing in it" : told.join(", ");
}

function compareFile(before: DescFile, after: DescFile, comparison: Comparison): void {
  const [from, to] = [packageOf(before), packageOf(after)];
  if (from !== to) addFile("FILE_PACKAGE", after, { from: from || "(none)", to: to || "(none)" }, comparison);
  if (before.edition !== after.edition) {
    addFile("FILE_SYNTAX", after, { from: syntaxText(before), to: syntaxText(after) }, comparison);
  }
  const sides = { before: before.proto.options, after: after.proto.options };
  for (const { name, from: old, to: now } of changedOptions(FileOptionsSchema, sides, comparison)) {
    const [language, rule] = STUB_OPTIONS[name] ?? [];
    const facts = { option: name, from: old, to: now, language };
    if (rule !== undefined) addFile("FILE_OPTION", after, facts, comparison, [rule]);
    else if (name !== "deprecated") addFile("OPTION_CHANGED", after, facts, comparison);
    else addFile(now === "true" ? "DEPRECATED" : "UNDEPRECATED", after, {}, comparison);
  }
}

function syntaxText({ edition }: DescFile): string {
  const [, word = "unknown"] = /^EDITION_(.*)$/.exec(Edition[edition]) ?? [];
  return word.startsWith("PROTO") ? word.toLowerCase() : `edition ${word}`;
}

type FileKind =
  | "FILE_ADDED"
  | "FILE_REMOVED"
  | "FILE_PACKAGE"
  | "FILE_SYNTAX"
  | "FILE_OPTION"
  | "OPTION_CHANGED"
  | "DEPRECATED"
  | "UNDEPRECATED";

function addFile(
  kind: FileKind,
  file: DescFile,
  facts: Readonly<Record<string, string | undefined>>,
  comparison: Comparison,
  rules?: readonly string[],
): void {
  const { name } = file.proto;
  comparison.add({
    kind,
    element: name,
    file: name,
    package: packageOf(file),
    facts: { name, ...facts },
    ...(rules && { rules }),
  });
}
