import { type DescExtension, type DescField, type DescMessage, isFieldSet, ScalarType } from "@bufbuild/protobuf";
import {
  FieldOptions_CType as CType,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FieldOptions_JSType as JsType,
  FeatureSet_FieldPresence as Presence,
} from "@bufbuild/protobuf/wkt";
import { renamedOneofs } from "./compare-messages.ts";
import { compareOptions } from "./compare-options.ts";
import { compareTypes } from "./compare-types.ts";
import type { Comparison } from "./comparison.ts";
import { type AnyField, addField, type FieldPlace } from "./field-place.ts";
import { closedRanges, inRanges } from "./reserved.ts";
import { typeText } from "./shape.ts";

/** The fields of a message that both contracts have. */
export function compareFields(before: DescMessage, after: DescMessage, comparison: Comparison): void {
  const old = byNumber(before);
  const now = byNumber(after);
  const nowByName = new Map(after.fields.map((field) => [field.name, field]));
  const taken = new Set<DescField>();
  const oneofs = renamedOneofs(before, after);
  for (const field of before.fields) {
    // Who keeps the name is the field that it was, wherever its number went.
    const is = nowByName.get(field.name) ?? now.get(field.number);
    if (!is || (is.name !== field.name && before.fields.some(({ name }) => name === is.name))) {
      removeField(field, after, comparison);
      continue;
    }
    taken.add(is);
    const place = { before: field, after: is, element: after, comparison };
    if (is.number !== field.number) {
      addField(place, "FIELD_RENUMBERED", { from: field.number, to: is.number });
    } else if (isReused(place)) {
      addField(place, "FIELD_REUSED", { from: nameAndType(field), to: nameAndType(is) });
      continue;
    } else compareNames(place);
    compareOneof(field, is, oneofs, place);
    compareField(place);
  }
  for (const field of after.fields) if (!taken.has(field)) fieldAdded(field, old, comparison);
}

function fieldAdded(field: DescField, old: ReadonlyMap<number, DescField>, comparison: Comparison): void {
  const { parent, name: part, oneof } = field;
  const facts = { field: part, number: field.number, message: parent.typeName, oneof: oneof?.name };
  const isNewOneof = oneof?.fields.every(({ number }) => !old.has(number)) ?? true;
  comparison.addOf(parent, { kind: isNewOneof ? "FIELD_ADDED" : "FIELD_ADDED_TO_ONEOF", part, facts });
  if (field.presence === Presence.LEGACY_REQUIRED) comparison.addOf(parent, { kind: "REQUIRED_GAINED", part, facts });
}

/** An extension that both contracts have: what it is called is its name, so that its number can differ. */
export function compareExtensions(before: DescExtension, after: DescExtension, comparison: Comparison): void {
  const place = { before, after, element: after, comparison };
  if (before.number !== after.number) {
    const facts = { name: after.typeName, from: before.number, to: after.number };
    comparison.addOf(after, { kind: "EXTENSION_RENUMBERED", facts });
  }
  compareField(place);
}

function byNumber({ fields }: DescMessage): ReadonlyMap<number, DescField> {
  return new Map(fields.map((field) => [field.number, field]));
}

function nameAndType(field: AnyField): string {
  return `${field.name} (${typeText(field)})`;
}

/** Another name and another type: not the field that it was. */
function isReused({ before, after, comparison }: FieldPlace): boolean {
  const type = (field: AnyField, rename: (name: string) => string): string => {
    const { type: wire, typeName } = field.proto;
    return `${wire} ${rename(typeName.replace(/^\./, ""))}`;
  };
  const isSame = type(before, comparison.pairing.nameNow) === type(after, (name) => name);
  return before.name !== after.name && !isSame;
}

function removeField(field: DescField, after: DescMessage, comparison: Comparison): void {
  const { name, number } = field;
  const hasNumber = inRanges(closedRanges(after.proto.reservedRange), number);
  const hasName = after.proto.reservedName.includes(name);
  const missing = [...(hasNumber ? [] : ["its number"]), ...(hasName ? [] : ["its name"])];
  const reservation = `, and nothing reserves ${missing.join(" or ")}`;
  const facts = { field: name, number, message: after.typeName, reservation };
  const rules = [
    "FIELD_NO_DELETE",
    ...(hasNumber ? [] : ["FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED"]),
    ...(hasName ? [] : ["FIELD_NO_DELETE_UNLESS_NAME_RESERVED"]),
  ];
  const kind = missing.length === 0 ? "FIELD_RESERVED" : "FIELD_REMOVED";
  comparison.addOf(after, { kind, part: name, facts, rules });
  if (field.presence === Presence.LEGACY_REQUIRED)
    comparison.addOf(after, { kind: "REQUIRED_LOST", part: name, facts });
}

function compareNames(place: FieldPlace): void {
  const { before, after } = place;
  if (before.name !== after.name) {
    const kind = before.jsonName === after.jsonName ? "FIELD_RENAMED_QUIETLY" : "FIELD_RENAMED";
    addField(place, kind, { from: before.name, to: after.name });
  } else if (before.jsonName !== after.jsonName) {
    addField(place, "FIELD_JSON_NAME", { from: before.jsonName, to: after.jsonName });
  }
}

function compareOneof(
  before: DescField,
  after: DescField,
  renamed: ReadonlyMap<string, string>,
  place: FieldPlace,
): void {
  const [from, to] = [before.oneof?.name, after.oneof?.name];
  const expected = from === undefined ? undefined : (renamed.get(from) ?? from);
  if (expected === to) return;
  const kind = from === undefined ? "INTO_ONEOF" : to === undefined ? "OUT_OF_ONEOF" : "OTHER_ONEOF";
  addField(place, kind, { from: from ?? "", to: to ?? "" });
}

/** What a field and an extension have in common. */
function compareField(place: FieldPlace): void {
  const { before, after } = place;
  const isShapeSame = compareTypes(place);
  if (isShapeSame) {
    comparePresence(place);
    compareDefault(place);
  }
  if (before.fieldKind === "list" && after.fieldKind === "list" && before.packed !== after.packed) {
    if (before.proto.type === after.proto.type) {
      addField(place, "PACKED_CHANGED", { from: packedText(before.packed), to: packedText(after.packed) });
    }
  }
  if (before.proto.type === after.proto.type && before.utf8Validation !== after.utf8Validation && holdsText(after)) {
    addField(place, "UTF8_CHANGED", { from: utf8Text(before.utf8Validation), to: utf8Text(after.utf8Validation) });
  }
  compareStubTypes(place);
  const { element, comparison } = place;
  const where = element === after ? { element } : { element, part: after.name };
  compareOptions(FieldOptionsSchema, { before: before.proto, after: after.proto }, where, comparison, [
    "packed",
    "ctype",
    "jstype",
  ]);
}

/** Both are single values: whether one that is absent can be told, or must not be. In a oneof it always can. */
function comparePresence(place: FieldPlace): void {
  const { before, after } = place;
  const [from, to] = [before.presence, after.presence];
  if (from === to) return;
  const required = Presence.LEGACY_REQUIRED;
  if (to === required) addField(place, "REQUIRED_GAINED", {});
  else if (from === required) addField(place, "REQUIRED_LOST", {});
  else if (!("oneof" in before && before.oneof) && !("oneof" in after && after.oneof)) {
    addField(place, to === Presence.EXPLICIT ? "PRESENCE_GAINED" : "PRESENCE_LOST", {});
  }
}

function compareDefault(place: FieldPlace): void {
  const text = ({ proto }: AnyField): string =>
    isFieldSet(proto, FieldDescriptorProtoSchema.field.defaultValue!) ? JSON.stringify(proto.defaultValue) : "unset";
  const [from, to] = [text(place.before), text(place.after)];
  if (from !== to) addField(place, "DEFAULT_CHANGED", { from, to });
}

function packedText(isPacked: boolean): string {
  return isPacked ? "packed" : "written one by one";
}

function utf8Text(isChecked: boolean): string {
  return isChecked ? "checked to be UTF-8" : "not checked to be UTF-8";
}

function holdsText(field: AnyField): boolean {
  return field.scalar === ScalarType.STRING || (field.fieldKind === "map" && field.mapKey === ScalarType.STRING);
}

function compareStubTypes(place: FieldPlace): void {
  const [old, now] = [place.before.proto.options, place.after.proto.options];
  const [wasJs = JsType.JS_NORMAL, isJs = JsType.JS_NORMAL] = [old?.jstype, now?.jstype];
  if (wasJs !== isJs) {
    const facts = { option: "jstype", language: "JavaScript", from: JsType[wasJs], to: JsType[isJs] };
    addField(place, "STUB_TYPE", facts, ["FIELD_SAME_JSTYPE"]);
  }
  const [wasC = CType.STRING, isC = CType.STRING] = [old?.ctype, now?.ctype];
  if (wasC !== isC) {
    const facts = { option: "ctype", language: "C++", from: CType[wasC], to: CType[isC] };
    addField(place, "STUB_TYPE", facts, ["FIELD_SAME_CPP_STRING_TYPE"]);
  }
}
