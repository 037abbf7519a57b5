import { breaks, careful, SAFE } from "../verdict.ts";
import { ADDITION, type Kind } from "./kind.ts";

const TYPE_URL = "a google.protobuf.Any that holds one names a type that the other side does not know";
const REUSE = "nothing yet, but who takes it again has old bytes read as something else";

/** Kinds of differences between messages, apart from their fields. */
export const MESSAGE_KINDS = {
  MESSAGE_ADDED: {
    ...{ ...ADDITION, of: "data", forward: SAFE, backward: SAFE, json: SAFE, stubs: SAFE },
    what: "The message {name} is new.",
  },
  MESSAGE_REMOVED: {
    ...{ section: "removed", of: "data" },
    what: "The message {name} is gone.",
    forward: SAFE,
    backward: careful(TYPE_URL),
    json: careful(TYPE_URL),
    stubs: breaks("code that names it does not compile"),
    todo: "Keep the message and mark it deprecated until nobody generates it any more.",
    rules: ["MESSAGE_NO_DELETE", "PACKAGE_MESSAGE_NO_DELETE"],
  },
  MESSAGE_RENAMED: {
    ...{ section: "changed", of: "data" },
    what: "The message {from} is called {to} now, with the same fields.",
    forward: careful(TYPE_URL),
    backward: careful(TYPE_URL),
    json: careful(TYPE_URL),
    stubs: breaks("code that names it does not compile"),
    todo: "Keep the old name. A second message with the new name can stand beside it for new fields.",
    rules: ["MESSAGE_NO_DELETE", "PACKAGE_MESSAGE_NO_DELETE"],
  },
  MESSAGE_MOVED: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The message {name} is in {to} now, not in {from}.",
    stubs: breaks("languages with a module per file (C++, Python, TypeScript) import it from elsewhere"),
    todo: "Leave it in its file; a public import helps C++ and Python alone.",
    rules: ["MESSAGE_NO_DELETE"],
  },
  RESERVED_FREED: {
    ...{ section: "changed", of: "data" },
    what: "{name} no longer reserves {reserved}.",
    forward: careful(REUSE),
    backward: careful(REUSE),
    json: careful("nothing yet, but a name that is taken again has old JSON read as something else"),
    stubs: SAFE,
    todo: "Put the reservation back: it is what keeps a number or a name of a removed element from being taken again.",
    rules: ["RESERVED_MESSAGE_NO_DELETE"],
  },
  ENUM_RESERVED_FREED: {
    ...{ section: "changed", of: "data" },
    what: "{name} no longer reserves {reserved}.",
    forward: careful(REUSE),
    backward: careful(REUSE),
    json: careful("nothing yet, but a name that is taken again has old JSON read as something else"),
    stubs: SAFE,
    todo: "Put the reservation back: it is what keeps a number or a name of a removed value from being taken again.",
    rules: ["RESERVED_ENUM_NO_DELETE"],
  },
  EXTENSION_RANGE_REMOVED: {
    ...{ section: "removed", of: "data" },
    what: "{name} no longer has room for extensions at {range}.",
    forward: SAFE,
    backward: careful("extensions of others at these numbers are unknown fields to new readers"),
    json: breaks("extensions at these numbers have no name any more"),
    stubs: breaks("definitions of extensions at these numbers do not compile"),
    todo: "Leave the range as it was.",
    rules: ["EXTENSION_MESSAGE_NO_DELETE"],
  },
  MESSAGE_SET: {
    ...{ section: "changed", of: "data" },
    what: "{name} has another form on the wire: message_set_wire_format is {to} now, not {from}.",
    forward: breaks("old readers cannot read it"),
    backward: breaks("new readers cannot read what was written before"),
    json: SAFE,
    stubs: SAFE,
    todo: "Set the option back.",
    rules: [],
  },
  MESSAGE_ACCESSOR: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "{name} has no_standard_descriptor_accessor {to} now, not {from}.",
    stubs: breaks("generated classes have their descriptor under another name"),
    todo: "Set the option back.",
    rules: ["MESSAGE_NO_REMOVE_STANDARD_DESCRIPTOR_ACCESSOR"],
  },
  MESSAGE_JSON_FORMAT: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE },
    what: "{name} promises JSON by the rule {to} now, not {from}.",
    json: breaks("whether its JSON form is certain, or made as well as it goes, is another promise now"),
    stubs: SAFE,
    todo: "Keep the feature json_format as it was.",
    rules: ["MESSAGE_SAME_JSON_FORMAT"],
  },
  ONEOF_ADDED: {
    ...{ ...ADDITION, of: "data", forward: SAFE, backward: SAFE, json: SAFE, stubs: SAFE },
    what: "The oneof {oneof} of {message} is new.",
  },
  ONEOF_REMOVED: {
    ...{ section: "removed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The oneof {oneof} of {message} is gone.",
    stubs: breaks("code that asks which of its fields is set does not compile"),
    todo: "Keep the oneof, with its fields in it.",
    rules: ["ONEOF_NO_DELETE"],
  },
  ONEOF_RENAMED: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The oneof {from} of {message} is called {to} now, with the same fields.",
    stubs: breaks("code that asks which of its fields is set does not compile"),
    todo: "Keep the name.",
    rules: ["ONEOF_NO_DELETE", "FIELD_SAME_ONEOF"],
  },
} as const satisfies Readonly<Record<string, Kind>>;
