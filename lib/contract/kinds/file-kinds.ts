import { breaks, careful, SAFE } from "../verdict.ts";
import { ADDITION, type Kind, TYPE_RULES } from "./kind.ts";

const NEW_PACKAGE =
  "Put what is new into a package beside it, such as one that ends with the next version, and keep this one.";

/** Kinds of differences between files and packages. */
export const FILE_KINDS = {
  PACKAGE_ADDED: {
    ...{ ...ADDITION, of: "calls", forward: SAFE, backward: SAFE, json: SAFE, stubs: SAFE },
    what: "The package {name} is new, with {count}.",
  },
  PACKAGE_REMOVED: {
    ...{ section: "removed", of: "calls" },
    what: "The package {name} is gone, with {count}.",
    forward: SAFE,
    backward: breaks("new servers answer UNIMPLEMENTED to every call of it, and nobody reads its messages"),
    json: breaks("its JSON paths and type URLs are gone"),
    stubs: breaks("everything generated from it is gone"),
    todo: "Keep the package and mark its services and messages deprecated until its last caller is gone.",
    rules: [
      ...["PACKAGE_NO_DELETE", "FILE_NO_DELETE", "SERVICE_NO_DELETE", "MESSAGE_NO_DELETE", "ENUM_NO_DELETE"],
      ...["EXTENSION_NO_DELETE", "PACKAGE_SERVICE_NO_DELETE", "PACKAGE_MESSAGE_NO_DELETE", "PACKAGE_ENUM_NO_DELETE"],
      "PACKAGE_EXTENSION_NO_DELETE",
    ],
  },
  FILE_ADDED: {
    ...{ ...ADDITION, of: "data", forward: SAFE, backward: SAFE, json: SAFE, stubs: SAFE },
    what: "The file {name} is new.",
  },
  FILE_REMOVED: {
    ...{ section: "removed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The file {name} is gone.",
    stubs: breaks("files that import it, and code that imports the stubs made from it, find nothing"),
    todo: "Keep the file; one that only imports publicly what moved elsewhere is enough for most languages.",
    rules: ["FILE_NO_DELETE"],
  },
  FILE_PACKAGE: {
    ...{ section: "changed", of: "calls" },
    what: "The file {name} is of the package {to} now, not of {from}.",
    forward: breaks("old servers answer UNIMPLEMENTED: the path of a method begins with its package"),
    backward: breaks("new servers answer UNIMPLEMENTED: the path of a method begins with its package"),
    json: breaks("JSON paths and type URLs carry the package"),
    stubs: breaks("every generated name is in another package"),
    todo: NEW_PACKAGE,
    rules: [
      ...["FILE_SAME_PACKAGE", "PACKAGE_NO_DELETE", "PACKAGE_SERVICE_NO_DELETE", "PACKAGE_MESSAGE_NO_DELETE"],
      ...["PACKAGE_ENUM_NO_DELETE", "PACKAGE_EXTENSION_NO_DELETE", "RPC_SAME_REQUEST_TYPE", "RPC_SAME_RESPONSE_TYPE"],
      ...TYPE_RULES,
    ],
  },
  FILE_SYNTAX: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The file {name} is written in {to} now, not in {from}.",
    stubs: breaks("generators make other code of it, such as of presence, of enums and of defaults"),
    todo: "Keep the syntax of a file that others generate from, or say that everybody must generate again.",
    rules: ["FILE_SAME_SYNTAX"],
  },
  FILE_OPTION: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The option {option} of the file {name} is {to} now, not {from}.",
    stubs: breaks("{language} code finds its stubs under other names or in another form"),
    todo: "Set the option back; where the names must change, move everybody in one release and say so.",
    rules: [],
  },
  OPTION_CHANGED: {
    ...{ section: "changed", of: "data" },
    what: "The option {option} of {name} is {to} now, not {from}.",
    forward: careful("what it means is decided by whoever reads the option"),
    backward: careful("what it means is decided by whoever reads the option"),
    json: SAFE,
    stubs: careful("a generator or a library may read it"),
    todo: "Look who reads the option.",
    rules: [],
  },
  DEPRECATED: {
    ...{ section: "deprecated", of: "data", forward: SAFE, backward: SAFE, json: SAFE },
    what: "{name} is deprecated now.",
    stubs: careful("compilers warn of its use, and a build that takes warnings for errors stops"),
    todo: "Say in its comment what to use instead, and keep it for two more minor versions.",
    rules: [],
  },
  UNDEPRECATED: {
    ...{ section: "changed", of: "data", forward: SAFE, backward: SAFE, json: SAFE, stubs: SAFE },
    what: "{name} is no longer deprecated.",
    todo: "",
    rules: [],
  },
  REFUSED_BY_BUF: {
    ...{ section: "changed", of: "data" },
    what: "buf refuses a change that has no words of its own here: {detail}",
    forward: careful("the rule {rule} says so"),
    backward: careful("the rule {rule} says so"),
    json: careful("the rule {rule} says so"),
    stubs: careful("the rule {rule} says so"),
    todo: "Look at what buf's rule {rule} protects, and take the change back.",
    rules: [],
  },
} as const satisfies Readonly<Record<string, Kind>>;
