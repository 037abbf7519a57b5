import type { DescMessage, DescOneof } from "@bufbuild/protobuf";
import { MessageOptionsSchema } from "@bufbuild/protobuf/wkt";
import { compareOptions } from "./compare-options.ts";
import type { Comparison } from "./comparison.ts";
import { jsonFormatOf } from "./json-format.ts";
import { closedRanges, inRanges, rangeText, subtractRanges } from "./reserved.ts";

/** A message that both contracts have, apart from its fields: what it reserves, its oneofs, its options. */
export function compareMessages(before: DescMessage, after: DescMessage, comparison: Comparison): void {
  compareReserved(before, after, comparison);
  compareOneofs(before, after, comparison);
  const [from, to] = [jsonFormatOf(before), jsonFormatOf(after)];
  const name = after.typeName;
  if (from !== to) comparison.addOf(after, { kind: "MESSAGE_JSON_FORMAT", facts: { name, from, to } });
  const ranges = (message: DescMessage) => closedRanges(message.proto.extensionRange);
  for (const range of subtractRanges(ranges(before), ranges(after))) {
    comparison.addOf(after, { kind: "EXTENSION_RANGE_REMOVED", facts: { name, range: rangeText(range) } });
  }
  const told = ["message_set_wire_format", "no_standard_descriptor_accessor", "map_entry"];
  compareOptions(
    MessageOptionsSchema,
    { before: before.proto, after: after.proto },
    { element: after },
    comparison,
    told,
  );
  const [old, now] = [before.proto.options, after.proto.options];
  const flags = [
    ["MESSAGE_SET", old?.messageSetWireFormat, now?.messageSetWireFormat],
    ["MESSAGE_ACCESSOR", old?.noStandardDescriptorAccessor, now?.noStandardDescriptorAccessor],
  ] as const;
  for (const [kind, was = false, is = false] of flags) {
    if (was !== is) comparison.addOf(after, { kind, facts: { name, from: String(was), to: String(is) } });
  }
}

/** What was reserved and is neither reserved nor taken now; what is taken is told of at the field that takes it. */
function compareReserved(before: DescMessage, after: DescMessage, comparison: Comparison): void {
  const old = closedRanges(before.proto.reservedRange);
  const now = closedRanges(after.proto.reservedRange);
  const taken = after.fields.map(({ number }) => ({ start: number, end: number }));
  const add = (reserved: string): void =>
    comparison.addOf(after, { kind: "RESERVED_FREED", facts: { name: after.typeName, reserved } });
  for (const range of subtractRanges(old, [...now, ...taken]))
    add(`the numbers ${rangeText(range)}`.replace("numbers", range.start === range.end ? "number" : "numbers"));
  const names = new Set([...after.proto.reservedName, ...after.fields.map(({ name }) => name)]);
  for (const name of before.proto.reservedName) if (!names.has(name)) add(`the name ${name}`);
  for (const { name, number } of after.fields) {
    const what = [
      ...(inRanges(old, number) ? [`the number ${number}`] : []),
      ...(before.proto.reservedName.includes(name) ? [`the name ${name}`] : []),
    ];
    if (what.length === 0) continue;
    const facts = { field: name, number, message: after.typeName, reserved: what.join(" and ") };
    comparison.addOf(after, { kind: "FIELD_TAKES_RESERVED", part: name, facts });
  }
}

function compareOneofs(before: DescMessage, after: DescMessage, comparison: Comparison): void {
  const old = new Map(before.oneofs.map((oneof) => [oneof.name, oneof]));
  const now = new Map(after.oneofs.map((oneof) => [oneof.name, oneof]));
  const message = after.typeName;
  const renamed = renamedOneofs(before, after);
  for (const { name } of before.oneofs) {
    const to = renamed.get(name);
    if (to !== undefined)
      comparison.addOf(after, { kind: "ONEOF_RENAMED", part: to, facts: { from: name, to, message } });
    else if (!now.has(name))
      comparison.addOf(after, { kind: "ONEOF_REMOVED", part: name, facts: { oneof: name, message } });
  }
  const taken = new Set(renamed.values());
  for (const { name, fields } of after.oneofs) {
    // One that takes fields which were there before is told of at each of them.
    const isNew = fields.every(({ number }) => before.fields.every((field) => field.number !== number));
    if (old.has(name) || taken.has(name) || !isNew) continue;
    comparison.addOf(after, { kind: "ONEOF_ADDED", part: name, facts: { oneof: name, message } });
  }
}

/** Oneofs that have the same fields under another name: old name to new. */
export function renamedOneofs(before: DescMessage, after: DescMessage): ReadonlyMap<string, string> {
  const names = (message: DescMessage) => new Set(message.oneofs.map(({ name }) => name));
  const [old, now] = [names(before), names(after)];
  const gone = before.oneofs.filter(({ name }) => !now.has(name));
  const added = after.oneofs.filter(({ name }) => !old.has(name));
  const pairs = gone.flatMap((oneof) => {
    const same = added.find((one) => numbersOf(one) === numbersOf(oneof));
    return same ? [[oneof.name, same.name] as const] : [];
  });
  return new Map(pairs);
}

function numbersOf({ fields }: DescOneof): string {
  return fields
    .map(({ number }) => number)
    .sort((left, right) => left - right)
    .join(" ");
}
