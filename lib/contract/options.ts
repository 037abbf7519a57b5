import { type DescMessage, isFieldSet, type Message, ScalarType } from "@bufbuild/protobuf";
import type { Contract } from "./contract.ts";

/** An option that is another one now. */
export interface ChangedOption {
  /** As it is written; an option of one's own in parentheses with its full name, or its number where nobody declares it. */
  readonly name: string;
  /** The older value as a text; `unset` where it was not set. */
  readonly from: string;
  /** The newer value. */
  readonly to: string;
}

/** Options of an element, on both sides. */
export interface OptionSides {
  /** Of the older contract. */
  readonly before: Message | undefined;
  /** Of the newer contract. */
  readonly after: Message | undefined;
}

/**
 * The options that differ, in the order of their numbers. Features are not among them: what they decide is compared where it
 * shows. Defaults count as unset.
 */
export function changedOptions(
  schema: DescMessage,
  { before, after }: OptionSides,
  contracts: { readonly before: Contract; readonly after: Contract },
): readonly ChangedOption[] {
  const known = schema.fields
    .filter(({ fieldKind }) => fieldKind === "scalar" || fieldKind === "enum")
    .map((field) => ({ name: field.name, from: textOf(before, field), to: textOf(after, field) }));
  const [old, now] = [ownOptions(before), ownOptions(after)];
  const numbers = [...new Set([...old.keys(), ...now.keys()])].sort((left, right) => left - right);
  const own = numbers.map((number) => ({
    name: ownName(schema, number, contracts),
    from: old.get(number) ?? UNSET,
    to: now.get(number) ?? UNSET,
  }));
  return [...known, ...own].filter(({ from, to }) => from !== to);
}

const UNSET = "unset";

function textOf(options: Message | undefined, field: DescMessage["fields"][number]): string {
  if (options === undefined || !isFieldSet(options, field)) return UNSET;
  const value = (options as unknown as Readonly<Record<string, unknown>>)[field.localName];
  if (field.fieldKind === "enum") return field.enum.value[value as number]?.name ?? String(value);
  if (field.fieldKind !== "scalar" || value === (field.getDefaultValue() ?? false)) return UNSET;
  return field.scalar === ScalarType.STRING ? JSON.stringify(value) : String(value);
}

/** Options that a contract declares itself: a reader of descriptors keeps their bytes, as hex by number here. */
function ownOptions(options: Message | undefined): ReadonlyMap<number, string> {
  const values = new Map<number, string>();
  for (const { no, wireType, data } of options?.$unknown ?? []) {
    const text = wireType === 0 && data.length === 1 ? String(data[0]) : `0x${Buffer.from(data).toString("hex")}`;
    values.set(no, values.has(no) ? `${values.get(no)} ${text}` : text);
  }
  return values;
}

function ownName(
  { typeName }: DescMessage,
  number: number,
  { before, after }: { readonly before: Contract; readonly after: Contract },
): string {
  for (const { elements } of [after, before]) {
    for (const element of elements.values()) {
      if (element.kind === "extension" && element.number === number && element.extendee.typeName === typeName) {
        return `(${element.typeName})`;
      }
    }
  }
  return `number ${number}`;
}
