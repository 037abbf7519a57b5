import type { DescEnum, DescEnumValue } from "@bufbuild/protobuf";
import { EnumOptionsSchema, EnumValueOptionsSchema } from "@bufbuild/protobuf/wkt";
import { compareOptions } from "./compare-options.ts";
import type { Comparison } from "./comparison.ts";
import { jsonFormatOf } from "./json-format.ts";
import type { KindName } from "./kinds/kinds.ts";
import { inRanges, rangeText, subtractRanges } from "./reserved.ts";

/** An enum that both contracts have. */
export function compareEnums(before: DescEnum, after: DescEnum, comparison: Comparison): void {
  const name = after.typeName;
  const add = (kind: KindName, from: string, to: string): void =>
    comparison.addOf(after, { kind, facts: { name, from, to } });
  if (before.open !== after.open) add("ENUM_CLOSED", openText(before), openText(after));
  const [from, to] = [jsonFormatOf(before), jsonFormatOf(after)];
  if (from !== to) add("ENUM_JSON_FORMAT", from, to);
  const [first, firstNow] = [before.values[0], after.values[0]];
  if (first && firstNow && first.number !== firstNow.number) add("ENUM_DEFAULT", first.name, firstNow.name);
  compareOptions(EnumOptionsSchema, { before: before.proto, after: after.proto }, { element: after }, comparison, [
    "allow_alias",
  ]);
  compareValues(before, after, comparison);
  compareReserved(before, after, comparison);
}

function openText({ open }: DescEnum): string {
  return open ? "open" : "closed";
}

function compareValues(before: DescEnum, after: DescEnum, comparison: Comparison): void {
  const old = byNumber(before);
  const now = byNumber(after);
  const nowByName = new Map(after.values.map((value) => [value.name, value]));
  const add = (kind: KindName, value: DescEnumValue, facts: Readonly<Record<string, string | number>>): void => {
    const about = { value: value.name, number: value.number, name: after.typeName, ...facts };
    comparison.addOf(after, { kind, part: value.name, facts: about });
  };
  const moved = new Set<string>();
  for (const [number, values] of old) {
    const is = now.get(number);
    if (is) {
      compareNames(values, is, add);
      compareOptions(
        EnumValueOptionsSchema,
        { before: values[0]!.proto, after: is[0]!.proto },
        { element: after, part: is[0]!.name },
        comparison,
      );
      continue;
    }
    for (const value of values) {
      const elsewhere = nowByName.get(value.name);
      if (elsewhere) {
        moved.add(value.name);
        add("VALUE_RENUMBERED", elsewhere, { from: number, to: elsewhere.number });
      } else comparison.addOf(after, { ...removed(value, after), part: value.name });
    }
  }
  for (const [number, values] of now) {
    if (old.has(number)) continue;
    for (const value of values) if (!moved.has(value.name)) add("VALUE_ADDED", value, {});
  }
}

type Add = (kind: KindName, value: DescEnumValue, facts: Readonly<Record<string, string | number>>) => void;

/** The names of one number on both sides, in the order of the declaration: the first is the one that JSON carries. */
function compareNames(before: readonly DescEnumValue[], after: readonly DescEnumValue[], add: Add): void {
  const [old, now] = [before.map(({ name }) => name), after.map(({ name }) => name)];
  if (old.join() === now.join()) return;
  if (old.length === 1 && now.length === 1) {
    add("VALUE_RENAMED", after[0]!, { from: old[0]!, to: now[0]! });
  } else if (old[0] === now[0] && old.every((name) => now.includes(name))) {
    for (const value of after) if (!old.includes(value.name)) add("VALUE_ALIAS_ADDED", value, {});
  } else {
    add("VALUE_ALIAS", after[0]!, { from: old.join(", "), to: now.join(", ") });
  }
}

function removed({ name, number }: DescEnumValue, after: DescEnum) {
  const hasNumber = inRanges(after.proto.reservedRange, number);
  const hasName = after.proto.reservedName.includes(name);
  const missing = [...(hasNumber ? [] : ["its number"]), ...(hasName ? [] : ["its name"])];
  const facts = {
    value: name,
    number,
    name: after.typeName,
    reservation: `, and nothing reserves ${missing.join(" or ")}`,
  };
  if (missing.length === 0) return { kind: "VALUE_RESERVED" as const, facts };
  const rules = [
    "ENUM_VALUE_NO_DELETE",
    ...(hasNumber ? [] : ["ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED"]),
    ...(hasName ? [] : ["ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED"]),
  ];
  return { kind: "VALUE_REMOVED" as const, facts, rules };
}

function byNumber({ values }: DescEnum): ReadonlyMap<number, readonly DescEnumValue[]> {
  return Map.groupBy(values, ({ number }) => number);
}

/** What was reserved and is no longer. */
function compareReserved(before: DescEnum, after: DescEnum, comparison: Comparison): void {
  const add = (reserved: string): void =>
    comparison.addOf(after, { kind: "ENUM_RESERVED_FREED", facts: { name: after.typeName, reserved } });
  for (const range of subtractRanges(before.proto.reservedRange, after.proto.reservedRange)) {
    add(`the number${range.start === range.end ? "" : "s"} ${rangeText(range)}`);
  }
  const names = new Set(after.proto.reservedName);
  for (const name of before.proto.reservedName) if (!names.has(name)) add(`the name ${name}`);
}
