import type { DescMessage } from "@bufbuild/protobuf";
import { type Contract, type Element, packageOf } from "./contract.ts";
import { shapeOf } from "./shape.ts";

/** An element of the older contract and what it is in the newer one. */
export interface Pair<One extends Element = Element> {
  /** Of the older contract. */
  readonly before: One;
  /** Of the newer contract. */
  readonly after: One;
  /** The name is another one than the package alone explains. */
  readonly isRenamed: boolean;
}

/** What became of every element. */
export interface Pairing {
  /** Elements of both contracts, in the order of the older. */
  readonly pairs: readonly Pair[];
  /** Elements of the older contract alone, without those inside of one that is gone. */
  readonly removed: readonly Element[];
  /** Elements of the newer contract alone, without those inside of one that is new. */
  readonly added: readonly Element[];
  /** What the newer contract calls an element of the older one; the same name where nothing is known. */
  nameNow(name: string): string;
}

/**
 * Finds what became of the elements of the older contract. A file that keeps its path and changes its package takes its
 * elements along; an element that is gone is taken for one that is new where both have the same parts and the same package.
 */
export function pairElements(before: Contract, after: Contract): Pairing {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  const pairs: Pair[] = [];
  const removed: Element[] = [];
  const expected = (element: Element): string => {
    const parent = parentOf(element);
    if (parent) return `${names.get(parent.typeName) ?? parent.typeName}.${element.name}`;
    const file = after.files.get(element.file.proto.name);
    return qualify(file ? packageOf(file) : packageOf(element), element.name);
  };
  const candidates = newByShape(before, after);
  for (const element of before.elements.values()) {
    const name = expected(element);
    const same = [name, element.typeName]
      .map((each) => after.elements.get(each))
      .find((one) => one?.kind === element.kind);
    const renamed = same ? undefined : takeAlike(element, candidates, taken);
    const found = same ?? renamed;
    if (!found) {
      removed.push(element);
      continue;
    }
    names.set(element.typeName, found.typeName);
    taken.add(found.typeName);
    pairs.push({ before: element, after: found, isRenamed: renamed !== undefined } as Pair);
  }
  return {
    pairs,
    removed: outermost(removed),
    added: outermost([...after.elements.values()].filter(({ typeName }) => !taken.has(typeName))),
    nameNow: (name) => names.get(name) ?? name,
  };
}

/** New elements by what they are made of, for those that are gone to be found again. */
function newByShape(before: Contract, after: Contract): ReadonlyMap<string, Element[]> {
  const byShape = new Map<string, Element[]>();
  for (const element of after.elements.values()) {
    if (before.elements.has(element.typeName)) continue;
    const shape = shapeOf(element);
    if (shape === undefined) continue;
    const alike = byShape.get(shape);
    if (alike) alike.push(element);
    else byShape.set(shape, [element]);
  }
  return byShape;
}

function takeAlike(
  element: Element,
  candidates: ReadonlyMap<string, readonly Element[]>,
  taken: ReadonlySet<string>,
): Element | undefined {
  const shape = shapeOf(element);
  if (shape === undefined) return undefined;
  return candidates
    .get(shape)
    ?.find((one) => !taken.has(one.typeName) && packageOf(one) === packageOf(element) && parentNames(one, element));
}

/** Nothing is found again at another depth: what is nested stays nested. */
function parentNames(left: Element, right: Element): boolean {
  return (parentOf(left) === undefined) === (parentOf(right) === undefined);
}

function outermost(elements: readonly Element[]): Element[] {
  const names = new Set(elements.map(({ typeName }) => typeName));
  return elements.filter((element) => {
    const parent = parentOf(element);
    return parent === undefined || !names.has(parent.typeName);
  });
}

/** The message that an element is declared in. */
export function parentOf(element: Element): DescMessage | undefined {
  return element.kind === "service" ? undefined : element.parent;
}

/** The full name of what stands at the top of a package. */
export function qualify(packageName: string, name: string): string {
  return packageName === "" ? name : `${packageName}.${name}`;
}
