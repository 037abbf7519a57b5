import { type DescEnum, type DescMessage, ScalarType as S } from "@bufbuild/protobuf";
import { type AnyField, addField, type FieldPlace } from "./field-place.ts";
import { KINDS, type KindName } from "./kinds/kinds.ts";
import { nameInPackage, scalarText, typeText } from "./shape.ts";

/** One value of a field: of a list one item, of a map one value or one key. */
interface Value {
  readonly scalar: S | undefined;
  readonly message: DescMessage | undefined;
  readonly enum: DescEnum | undefined;
  /** A message between marks in place of behind its length. */
  readonly isDelimited: boolean;
  /** As its declaration writes it. */
  readonly text: string;
}

/** Compares what a field holds. Returns whether both hold single values, whose presence and default can be compared. */
export function compareTypes(place: FieldPlace): boolean {
  const { before, after } = place;
  const [from, to] = [formOf(before), formOf(after)];
  if (from === "map" && to === "map") {
    compareMaps(place);
    return false;
  }
  if (from === "map" || to === "map") {
    compareMapWithOther(place, from, to);
    return false;
  }
  if (from !== to) {
    const texts = { from: formText(before), to: formText(after) };
    addField(place, to === "list" ? "REPEATED_GAINED" : "REPEATED_LOST", texts);
  }
  compareValues(place, valueIn(before), valueIn(after));
  return from === "single" && to === "single";
}

type Form = "single" | "list" | "map";

function formOf({ fieldKind }: AnyField): Form {
  return fieldKind === "list" || fieldKind === "map" ? fieldKind : "single";
}

function formText(field: AnyField): string {
  return `${formOf(field) === "list" ? "a list of" : "one"} ${typeText(field)}`;
}

function compareMaps(place: FieldPlace): void {
  const { before, after } = place;
  if (before.fieldKind !== "map" || after.fieldKind !== "map") return;
  const key = (scalar: S): Value => ({ ...NOTHING, scalar, text: `map with keys of ${scalarText(scalar)}` });
  compareValues(place, key(before.mapKey), key(after.mapKey));
  compareValues(place, valueIn(before), valueIn(after));
}

/** A map is a list of entries on the wire: one that becomes a list of messages with a key and a value keeps its bytes. */
function compareMapWithOther(place: FieldPlace, from: Form, to: Form): void {
  const { before, after } = place;
  const [map, other] = from === "map" ? [before, after] : [after, before];
  const isEntry = other.fieldKind === "list" && other.message !== undefined && isLikeEntry(map, other.message);
  const texts = { from: typeText(before), to: typeText(after) };
  if (!isEntry)
    addField(place, "TYPE_CHANGED", { from: whole(before, from), to: whole(after, to) }, KINDS.MAP_TO_LIST.rules);
  else addField(place, from === "map" ? "MAP_TO_LIST" : "LIST_TO_MAP", texts);
}

function whole(field: AnyField, form: Form): string {
  return form === "list" ? `a list of ${typeText(field)}` : typeText(field);
}

function isLikeEntry(map: AnyField, message: DescMessage): boolean {
  if (map.fieldKind !== "map") return false;
  const [key, value] = [1, 2].map((number) => message.fields.find((field) => field.number === number));
  return (
    key?.scalar === map.mapKey && value?.scalar === map.scalar && value?.message?.typeName === map.message?.typeName
  );
}

const NOTHING = { scalar: undefined, message: undefined, enum: undefined, isDelimited: false, text: "" } as const;

function valueIn(field: AnyField): Value {
  const { scalar, message } = field;
  const isDelimited = "delimitedEncoding" in field && field.delimitedEncoding;
  const text = message?.typeName ?? field.enum?.typeName ?? scalarText(scalar!);
  return { scalar, message, enum: field.enum, isDelimited, text: field.fieldKind === "map" ? `map of ${text}` : text };
}

function compareValues(place: FieldPlace, before: Value, after: Value): void {
  const kind = kindOfChange(before, after, place.comparison.pairing.nameNow);
  if (kind !== undefined) addField(place, kind, { from: before.text, to: after.text });
}

/** What kind of change leads from one type to another; undefined where they are the same. */
function kindOfChange(before: Value, after: Value, nameNow: (name: string) => string): KindName | undefined {
  if (before.message && after.message) {
    if (before.isDelimited !== after.isDelimited) return "TYPE_DELIMITED";
    return kindOfNames(before.message, after.message, nameNow, "TYPE_MESSAGE");
  }
  if (before.enum && after.enum) return kindOfNames(before.enum, after.enum, nameNow, "TYPE_ENUM");
  const scalar = before.scalar ?? after.scalar;
  if (before.scalar !== undefined && after.scalar !== undefined) return kindOfScalars(before.scalar, after.scalar);
  if (before.enum || after.enum) {
    return scalar !== undefined && VARINTS.includes(scalar) ? "TYPE_ENUM_NUMBER" : "TYPE_CHANGED";
  }
  const isFramed = !before.isDelimited && !after.isDelimited;
  return isFramed && (scalar === S.BYTES || scalar === S.STRING) ? "TYPE_MESSAGE_BYTES" : "TYPE_CHANGED";
}

function kindOfNames(
  before: DescMessage | DescEnum,
  after: DescMessage | DescEnum,
  nameNow: (name: string) => string,
  other: KindName,
): KindName | undefined {
  // Of a package that changed is told once, at its file.
  if (nameInPackage(before) === nameInPackage(after) && nameNow(before.typeName) === after.typeName) return undefined;
  return nameNow(before.typeName) === after.typeName ? "TYPE_RENAMED" : other;
}

const VARINTS: readonly S[] = [S.INT32, S.UINT32, S.INT64, S.UINT64, S.BOOL];
const WIDE: readonly S[] = [S.INT64, S.UINT64, S.SINT64, S.FIXED64, S.SFIXED64];
/** Scalars whose bytes are read alike; what differs is what they are taken for. */
const ALIKE: readonly (readonly S[])[] = [
  VARINTS,
  [S.SINT32, S.SINT64],
  [S.FIXED32, S.SFIXED32],
  [S.FIXED64, S.SFIXED64],
  [S.STRING, S.BYTES],
];

function kindOfScalars(before: S, after: S): KindName | undefined {
  if (before === after) return undefined;
  if (!ALIKE.some((group) => group.includes(before) && group.includes(after))) return "TYPE_CHANGED";
  if (before === S.STRING || after === S.STRING) return "TYPE_TEXT_BYTES";
  if (before === S.BOOL || after === S.BOOL) return "TYPE_BOOL";
  const [wasWide, isWide] = [WIDE.includes(before), WIDE.includes(after)];
  if (wasWide === isWide) return "TYPE_SIGN";
  return isWide ? "TYPE_WIDENED" : "TYPE_NARROWED";
}
