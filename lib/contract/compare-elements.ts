import type { Comparison } from "./comparison.ts";
import { type Contract, type Element, packageOf } from "./contract.ts";
import type { KindName } from "./kinds/kinds.ts";
import { parentOf } from "./pairing.ts";
import { plural } from "./plural.ts";

type Fate = "ADDED" | "REMOVED" | "RENAMED" | "MOVED";

/** Messages, enums, services and extensions that are new, gone, called otherwise, or declared in another file. */
export function compareElements(comparison: Comparison): void {
  const { before, after, pairing } = comparison;
  const [old, now] = [packages(before), packages(after)];
  for (const element of pairing.removed) {
    // A package that is gone was told of as a whole.
    if (now.has(packageOf(element)) || isFileStill(element, after)) addElement("REMOVED", element, {}, comparison);
  }
  for (const element of pairing.added) {
    if (old.has(packageOf(element)) || isFileStill(element, before)) addElement("ADDED", element, {}, comparison);
  }
  for (const { before: was, after: is, isRenamed } of pairing.pairs) {
    const [from, to] = [was.file.proto.name, is.file.proto.name];
    if (isRenamed) addElement("RENAMED", is, { from: was.typeName, to: is.typeName }, comparison);
    // What is nested goes where its message goes.
    else if (from !== to && parentOf(was) === undefined) addElement("MOVED", is, { from, to }, comparison);
  }
}

function packages({ files }: Contract): ReadonlySet<string> {
  return new Set([...files.values()].map(packageOf));
}

/** A file that keeps its path while its package changes is told of, and what is lost on the way is told beside it. */
function isFileStill({ file }: Element, { files }: Contract): boolean {
  return files.has(file.proto.name);
}

function addElement(
  fate: Fate,
  element: Element,
  facts: Readonly<Record<string, string>>,
  comparison: Comparison,
): void {
  const number = element.kind === "extension" ? element.number : undefined;
  const count = element.kind === "service" ? plural(element.methods.length, "method") : undefined;
  // An extension has nothing to be found again by, so that none is renamed.
  const kind = `${element.kind.toUpperCase()}_${fate}` as Exclude<KindName, "EXTENSION_RENAMED">;
  comparison.addOf(element, { kind, facts: { name: element.typeName, number, count, ...facts } });
}
