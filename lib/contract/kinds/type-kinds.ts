import { breaks, careful, SAFE } from "../verdict.ts";
import { type Kind, NEW_FIELD, TYPE_RULES } from "./kind.ts";

const WHAT = "The type of {field} ({number}) of {message} is {to} now, not {from}.";
const OTHER_TYPE = breaks("its accessor has another type");
const CHANGED = { section: "changed", of: "data", what: WHAT, stubs: OTHER_TYPE, todo: NEW_FIELD } as const;
const JSON_TOO = ["FIELD_SAME_TYPE", "FIELD_WIRE_JSON_COMPATIBLE_TYPE"] as const;

/** Kinds of changes of a field's type, from those whose bytes are read alike to those that have nothing in common. */
export const TYPE_KINDS = {
  TYPE_WIDENED: {
    ...CHANGED,
    forward: careful("old readers cut off what does not fit {from}"),
    backward: SAFE,
    json: breaks("numbers of 64 bits are texts in JSON, those of 32 bits are not"),
    rules: JSON_TOO,
  },
  TYPE_NARROWED: {
    ...CHANGED,
    forward: SAFE,
    backward: careful("new readers cut off what does not fit {to}"),
    json: breaks("numbers of 64 bits are texts in JSON, those of 32 bits are not"),
    rules: JSON_TOO,
  },
  TYPE_SIGN: {
    ...CHANGED,
    forward: careful("a number below zero or in the upper half is read as another one"),
    backward: careful("a number below zero or in the upper half is read as another one"),
    json: careful("a number that does not fit the other type is refused"),
    rules: JSON_TOO,
  },
  TYPE_BOOL: {
    ...CHANGED,
    forward: careful("any number but 0 and 1 is read as another value"),
    backward: careful("any number but 0 and 1 is read as another value"),
    json: breaks("JSON has true where it has a number"),
    rules: JSON_TOO,
  },
  TYPE_ENUM_NUMBER: {
    ...CHANGED,
    forward: careful(
      "bytes are alike, but a number without a name may be put aside, and one that does not fit is cut off",
    ),
    backward: careful(
      "bytes are alike, but a number without a name may be put aside, and one that does not fit is cut off",
    ),
    json: breaks("JSON has a name where it has a number"),
    rules: TYPE_RULES,
  },
  TYPE_TEXT_BYTES: {
    ...CHANGED,
    forward: careful("bytes are alike, but what is no UTF-8 is refused as text"),
    backward: careful("bytes are alike, but what is no UTF-8 is refused as text"),
    json: breaks("JSON has bytes in base64"),
    rules: TYPE_RULES,
  },
  TYPE_MESSAGE_BYTES: {
    ...CHANGED,
    forward: careful("bytes are alike where they hold exactly that message"),
    backward: careful("bytes are alike where they hold exactly that message"),
    json: breaks("JSON has an object where it has a text"),
    rules: TYPE_RULES,
  },
  TYPE_RENAMED: {
    ...CHANGED,
    what: "The type of {field} ({number}) of {message} is called {to} now, which was {from} and has the same parts.",
    forward: SAFE,
    backward: SAFE,
    json: SAFE,
    todo: "Keep the name of the type.",
    rules: TYPE_RULES,
  },
  TYPE_MESSAGE: {
    ...CHANGED,
    forward: breaks("bytes of one message are read as another"),
    backward: breaks("bytes of one message are read as another"),
    json: breaks("the JSON form of one message is read as another"),
    rules: TYPE_RULES,
  },
  TYPE_ENUM: {
    ...CHANGED,
    forward: breaks("the same number means something else in the other enum"),
    backward: breaks("the same number means something else in the other enum"),
    json: breaks("neither side knows the other's names"),
    rules: TYPE_RULES,
  },
  TYPE_DELIMITED: {
    ...CHANGED,
    forward: breaks("the message is framed otherwise and is lost among unknown fields"),
    backward: breaks("the message is framed otherwise and is lost among unknown fields"),
    json: SAFE,
    stubs: careful("a group has its message beside it, which generators name otherwise"),
    rules: TYPE_RULES,
  },
  TYPE_CHANGED: {
    ...CHANGED,
    forward: breaks("whoever reads finds other bytes than it looks for, and takes them for another value or for none"),
    backward: breaks("whoever reads finds other bytes than it looks for, and takes them for another value or for none"),
    json: breaks("the JSON value has another form or other bounds"),
    rules: TYPE_RULES,
  },
} as const satisfies Readonly<Record<string, Kind>>;
