import type { DescMessage, Message } from "@bufbuild/protobuf";
import type { Comparison } from "./comparison.ts";
import type { Element } from "./contract.ts";
import { changedOptions } from "./options.ts";

/** A declaration with options. */
interface Declared {
  readonly options?: Message | undefined;
}

/** What has the options: an element, or a part of it. */
export interface OptionPlace {
  /** Of the newer contract. */
  readonly element: Element;
  /** Name of its part. */
  readonly part?: string;
}

/** Differences of the options of an element that have no kind of their own; `told` are told of elsewhere. */
export function compareOptions(
  schema: DescMessage,
  { before, after }: { readonly before: Declared; readonly after: Declared },
  { element, part }: OptionPlace,
  comparison: Comparison,
  told: readonly string[] = [],
): void {
  const sides = { before: before.options, after: after.options };
  for (const { name: option, from, to } of changedOptions(schema, sides, comparison)) {
    if (told.includes(option)) continue;
    const name = part === undefined ? element.typeName : `${element.typeName}.${part}`;
    const isDeprecation = option === "deprecated";
    const kind = isDeprecation ? (to === "true" ? "DEPRECATED" : "UNDEPRECATED") : "OPTION_CHANGED";
    comparison.addOf(element, { kind, facts: { name, option, from, to }, ...(part !== undefined && { part }) });
  }
}
