import type { DescExtension, DescField, DescMessage } from "@bufbuild/protobuf";
import type { Facts } from "#lib/base/errors";
import type { Comparison } from "./comparison.ts";
import type { KindName } from "./kinds/kinds.ts";

/** A field of a message, or one that extends it. */
export type AnyField = DescField | DescExtension;

/** A field that both contracts have, where it stands. */
export interface FieldPlace {
  /** Of the older contract. */
  readonly before: AnyField;
  /** Of the newer contract. */
  readonly after: AnyField;
  /** What it is named by: its message, or the extension itself. */
  readonly element: DescMessage | DescExtension;
  /** The comparison that is told. */
  readonly comparison: Comparison;
}

/** Tells a difference of a field, with its name, its number and its message among the facts. */
export function addField(
  { after, element, comparison }: FieldPlace,
  kind: KindName,
  facts: Facts,
  rules?: readonly string[],
): void {
  const message = element.kind === "extension" ? element.extendee.typeName : element.typeName;
  const about = { field: after.name, number: after.number, message, ...facts };
  const part = element.kind === "extension" ? {} : { part: after.name };
  comparison.addOf(element, { kind, facts: about, ...part, ...(rules && { rules }) });
}
