import { breaks, careful, SAFE } from "../verdict.ts";
import { ADDITION, type Kind } from "./kind.ts";

const NO_PATH = "they have nothing at that path and answer UNIMPLEMENTED";
const BESIDE = "Keep the method as it is, and put a new one beside it with the other form.";

const OTHER_TYPE = {
  section: "changed",
  of: "calls",
  forward: breaks("bytes of one message are read as another"),
  backward: breaks("bytes of one message are read as another"),
  json: breaks("the JSON form of one message is read as another"),
  stubs: breaks("its signature is another one"),
  todo: BESIDE,
} as const;

const SAME_SHAPE = {
  section: "changed",
  of: "calls",
  forward: SAFE,
  backward: SAFE,
  json: SAFE,
  stubs: breaks("its signature names another type"),
  todo: "Keep the name of the message.",
} as const;

/** Kinds of differences between services and their methods. */
export const SERVICE_KINDS = {
  SERVICE_ADDED: {
    ...{ ...ADDITION, of: "calls", backward: SAFE, json: SAFE, stubs: SAFE },
    what: "The service {name} is new, with {count}.",
    forward: careful(NO_PATH),
  },
  SERVICE_REMOVED: {
    ...{ section: "removed", of: "calls", forward: SAFE },
    what: "The service {name} is gone, with {count}.",
    backward: breaks(NO_PATH),
    json: breaks("its JSON paths are gone"),
    stubs: breaks("code that calls or implements it does not compile"),
    todo: "Keep the service and mark it deprecated until its last caller is gone.",
    rules: ["SERVICE_NO_DELETE", "PACKAGE_SERVICE_NO_DELETE", "RPC_NO_DELETE"],
  },
  SERVICE_RENAMED: {
    ...{ section: "changed", of: "calls" },
    what: "The service {from} is called {to} now, with the same methods.",
    forward: breaks(NO_PATH),
    backward: breaks(NO_PATH),
    json: breaks("JSON paths carry the name"),
    stubs: breaks("code that names it does not compile"),
    todo: "Keep the old name; a server can serve the same methods under both.",
    rules: ["SERVICE_NO_DELETE", "PACKAGE_SERVICE_NO_DELETE"],
  },
  SERVICE_MOVED: {
    ...{ section: "changed", of: "calls", forward: SAFE, backward: SAFE, json: SAFE },
    what: "The service {name} is in {to} now, not in {from}.",
    stubs: breaks("languages with a module per file (C++, Python, TypeScript) import it from elsewhere"),
    todo: "Leave it in its file.",
    rules: ["SERVICE_NO_DELETE"],
  },
  METHOD_ADDED: {
    ...{ ...ADDITION, of: "calls", backward: SAFE, json: SAFE },
    what: "The method {method} of {service} is new.",
    forward: careful(NO_PATH),
    stubs: careful("who implements the service must add it, in languages that ask for every method"),
    todo: "Let callers take UNIMPLEMENTED for an answer until every server is new.",
  },
  METHOD_REMOVED: {
    ...{ section: "removed", of: "calls", forward: SAFE },
    what: "The method {method} of {service} is gone.",
    backward: breaks(NO_PATH),
    json: breaks("its JSON path is gone"),
    stubs: breaks("code that calls or implements it does not compile"),
    todo: "Keep the method and mark it deprecated until its last caller is gone.",
    rules: ["RPC_NO_DELETE"],
  },
  METHOD_RENAMED: {
    ...{ section: "changed", of: "calls" },
    what: "The method {from} of {service} is called {to} now.",
    forward: breaks(NO_PATH),
    backward: breaks(NO_PATH),
    json: breaks("JSON paths carry the name"),
    stubs: breaks("code that calls or implements it does not compile"),
    todo: "Keep the old name, and let a second method beside it do the same.",
    rules: ["RPC_NO_DELETE"],
  },
  METHOD_REQUEST: {
    ...OTHER_TYPE,
    what: "The method {method} of {service} takes {to} now, not {from}.",
    rules: ["RPC_SAME_REQUEST_TYPE"],
  },
  METHOD_RESPONSE: {
    ...OTHER_TYPE,
    what: "The method {method} of {service} answers with {to} now, not with {from}.",
    rules: ["RPC_SAME_RESPONSE_TYPE"],
  },
  METHOD_REQUEST_RENAMED: {
    ...SAME_SHAPE,
    what: "The method {method} of {service} takes {to} now, which was called {from}.",
    rules: ["RPC_SAME_REQUEST_TYPE"],
  },
  METHOD_RESPONSE_RENAMED: {
    ...SAME_SHAPE,
    what: "The method {method} of {service} answers with {to} now, which was called {from}.",
    rules: ["RPC_SAME_RESPONSE_TYPE"],
  },
  METHOD_CLIENT_STREAMING: {
    ...{ section: "changed", of: "calls" },
    what: "The method {method} of {service} takes {to} now, not {from}.",
    forward: breaks("one side sends or waits for another number of requests than the other"),
    backward: breaks("one side sends or waits for another number of requests than the other"),
    json: breaks("over HTTP a stream has another content type and another framing"),
    stubs: breaks("its signature is another one"),
    todo: BESIDE,
    rules: ["RPC_SAME_CLIENT_STREAMING"],
  },
  METHOD_SERVER_STREAMING: {
    ...{ section: "changed", of: "calls" },
    what: "The method {method} of {service} answers with {to} now, not with {from}.",
    forward: breaks("one side sends or waits for another number of answers than the other"),
    backward: breaks("one side sends or waits for another number of answers than the other"),
    json: breaks("over HTTP a stream has another content type and another framing"),
    stubs: breaks("its signature is another one"),
    todo: BESIDE,
    rules: ["RPC_SAME_SERVER_STREAMING"],
  },
  METHOD_IDEMPOTENCY: {
    ...{ section: "changed", of: "calls" },
    what: "The method {method} of {service} is {to} now, not {from}.",
    forward: careful(
      "callers that go by the new level may repeat a call, or make it with GET, and old servers do not expect it",
    ),
    backward: careful(
      "callers that go by the old level may repeat a call, or make it with GET, and new servers do not expect it",
    ),
    json: careful("a Connect client makes calls without side effects with GET, and a server without them refuses it"),
    stubs: SAFE,
    todo: "Promise less by a new method beside it. To promise more, let every server keep it first.",
    rules: ["RPC_SAME_IDEMPOTENCY_LEVEL"],
  },
} as const satisfies Readonly<Record<string, Kind>>;
