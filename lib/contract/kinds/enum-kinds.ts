import { breaks, careful, SAFE } from "../verdict.ts";
import { ADDITION, type Kind } from "./kind.ts";

const GONE_TODO = "Keep the value and mark it deprecated; when it must go, reserve both its number and its name.";

const VALUE_GONE = {
  section: "removed",
  of: "data",
  what: "The value {value} ({number}) of {name} is gone{reservation}.",
  forward: SAFE,
  backward: careful("new readers see a number without a name where old writers still set it"),
  stubs: breaks("code that names it does not compile"),
  todo: GONE_TODO,
} as const;

/** Kinds of differences between enums and their values. */
export const ENUM_KINDS = {
  ENUM_ADDED: {
    ...{ ...ADDITION, of: "data", forward: SAFE, backward: SAFE, json: SAFE, stubs: SAFE },
    what: "The enum {name} is new.",
  },
  ENUM_REMOVED: {
    ...{ section: "removed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The enum {name} is gone.",
    stubs: breaks("code that names it does not compile"),
    todo: "Keep the enum and mark it deprecated until nobody generates it any more.",
    rules: ["ENUM_NO_DELETE", "PACKAGE_ENUM_NO_DELETE"],
  },
  ENUM_RENAMED: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The enum {from} is called {to} now, with the same numbers.",
    stubs: breaks("code that names it does not compile"),
    todo: "Keep the old name.",
    rules: ["ENUM_NO_DELETE", "PACKAGE_ENUM_NO_DELETE"],
  },
  ENUM_MOVED: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The enum {name} is in {to} now, not in {from}.",
    stubs: breaks("languages with a module per file (C++, Python, TypeScript) import it from elsewhere"),
    todo: "Leave it in its file.",
    rules: ["ENUM_NO_DELETE"],
  },
  ENUM_CLOSED: {
    ...{ section: "changed", of: "data" },
    what: "The enum {name} is {to} now, not {from}.",
    forward: SAFE,
    backward: breaks("a number without a name is kept by an open enum and put among unknown fields by a closed one"),
    json: SAFE,
    stubs: breaks("generated code has another form of values without a name"),
    todo: "Keep the feature enum_type, and the syntax that decides it.",
    rules: ["ENUM_SAME_TYPE"],
  },
  ENUM_JSON_FORMAT: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE },
    what: "{name} promises JSON by the rule {to} now, not {from}.",
    json: breaks("whether its JSON form is certain, or made as well as it goes, is another promise now"),
    stubs: SAFE,
    todo: "Keep the feature json_format as it was.",
    rules: ["ENUM_SAME_JSON_FORMAT"],
  },
  ENUM_DEFAULT: {
    ...{ section: "changed", of: "data" },
    what: "The first value of {name}, which absent fields have, is {to} now, not {from}.",
    forward: breaks("old readers take an absent field for {from}"),
    backward: breaks("new readers take a field that old writers leave out for {to}"),
    json: breaks("an absent field means something else"),
    stubs: breaks("a field that nobody set has another value"),
    todo: "Leave the first value where it is, and add others behind it.",
    rules: ["FIELD_SAME_DEFAULT"],
  },
  VALUE_ADDED: {
    ...{ ...ADDITION, of: "data" },
    what: "The value {value} ({number}) of {name} is new.",
    forward: careful("old readers see a number without a name, so they need a branch for it"),
    backward: SAFE,
    json: careful("an old reader refuses a message with the new name, unless it ignores what it does not know"),
    stubs: careful("a switch over all values no longer has them all"),
    todo: "Send it only to whoever is known to be new enough, or let old readers treat what they do not know as unspecified.",
  },
  VALUE_REMOVED: {
    ...VALUE_GONE,
    json: breaks("old JSON with its name is refused"),
    rules: [
      ...["ENUM_VALUE_NO_DELETE", "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED"],
      "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED",
    ],
  },
  VALUE_RESERVED: {
    ...VALUE_GONE,
    what: "The value {value} ({number}) of {name} is gone; its number and its name are reserved.",
    json: careful("a new reader refuses old JSON with its name, unless it ignores what it does not know"),
    todo: "See that nobody writes it any more, in the newest two minor versions as well.",
    rules: ["ENUM_VALUE_NO_DELETE"],
  },
  VALUE_RENAMED: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE },
    what: "The value {number} of {name} is called {to} now, not {from}.",
    json: breaks("JSON carries the name, and each side refuses the other's"),
    stubs: breaks("code that names it does not compile"),
    todo: "Keep the name. With allow_alias a second name can stand behind the old one, which stays the one that is written.",
    rules: ["ENUM_VALUE_SAME_NAME", "ENUM_VALUE_NO_DELETE"],
  },
  VALUE_RENUMBERED: {
    ...{ section: "changed", of: "data" },
    what: "The value {value} of {name} has the number {to} now, not {from}.",
    forward: breaks("old readers take it for another value, or for none"),
    backward: breaks("new readers take {from} for another value, or for none"),
    json: careful("JSON with numbers in place of names means something else"),
    stubs: careful("code that kept the number, such as in a database, means something else"),
    todo: "Give the value its number back: numbers are never changed.",
    rules: [
      ...["ENUM_VALUE_SAME_NAME", "ENUM_VALUE_NO_DELETE", "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED"],
      "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED",
    ],
  },
  VALUE_ALIAS: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE },
    what: "The value {number} of {name} has the names {to} now, not {from}.",
    json: breaks("a name is gone or another one is written, which the other side may not know"),
    stubs: breaks("code that names the one that is gone does not compile"),
    todo: "Keep every name, the first one first.",
    rules: ["ENUM_VALUE_SAME_NAME", "ENUM_VALUE_NO_DELETE"],
  },
  VALUE_ALIAS_ADDED: {
    ...{ ...ADDITION, of: "data", forward: SAFE, backward: SAFE },
    what: "The value {number} of {name} has another name as well: {value}.",
    json: careful("an old reader refuses the new name, which new writers do not write by themselves"),
    stubs: SAFE,
    rules: ["ENUM_VALUE_SAME_NAME"],
    todo: "Nothing, where the old name stays the first. buf takes it for a change of name.",
  },
} as const satisfies Readonly<Record<string, Kind>>;
