import type { DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import {
  MethodOptions_IdempotencyLevel as Level,
  MethodOptionsSchema,
  ServiceOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { compareOptions } from "./compare-options.ts";
import type { Comparison } from "./comparison.ts";
import type { KindName } from "./kinds/kinds.ts";
import { nameInPackage } from "./shape.ts";

/** The methods of a service that both contracts have. */
export function compareServices(before: DescService, after: DescService, comparison: Comparison): void {
  compareOptions(ServiceOptionsSchema, { before: before.proto, after: after.proto }, { element: after }, comparison);
  const old = new Map(before.methods.map((method) => [method.name, method]));
  const now = new Map(after.methods.map((method) => [method.name, method]));
  const added = after.methods.filter(({ name }) => !old.has(name));
  for (const method of before.methods) {
    const is = now.get(method.name) ?? takeRenamed(method, added, comparison);
    if (!is) addMethod("METHOD_REMOVED", method, after, {}, comparison);
    else {
      if (is.name !== method.name)
        addMethod("METHOD_RENAMED", is, after, { from: method.name, to: is.name }, comparison);
      compareMethod(method, is, comparison);
    }
  }
  for (const method of added) addMethod("METHOD_ADDED", method, after, {}, comparison);
}

/** A method that is gone is taken for one that is new where both take and answer the same, and nothing else does. */
function takeRenamed(method: DescMethod, added: DescMethod[], { pairing }: Comparison): DescMethod | undefined {
  const alike = added.filter(({ input, output, methodKind }) => {
    return (
      methodKind === method.methodKind &&
      input.typeName === pairing.nameNow(method.input.typeName) &&
      output.typeName === pairing.nameNow(method.output.typeName)
    );
  });
  if (alike.length !== 1) return undefined;
  added.splice(added.indexOf(alike[0]!), 1);
  return alike[0];
}

function addMethod(
  kind: KindName,
  { name }: DescMethod,
  service: DescService,
  facts: Readonly<Record<string, string>>,
  comparison: Comparison,
): void {
  comparison.addOf(service, { kind, part: name, facts: { method: name, service: service.typeName, ...facts } });
}

function compareMethod(before: DescMethod, after: DescMethod, comparison: Comparison): void {
  const add = (kind: KindName, from: string, to: string): void =>
    addMethod(kind, after, after.parent, { from, to }, comparison);
  compareType(before.input, after.input, "METHOD_REQUEST");
  compareType(before.output, after.output, "METHOD_RESPONSE");
  const [old, now] = [before.proto, after.proto];
  if (old.clientStreaming !== now.clientStreaming) {
    add("METHOD_CLIENT_STREAMING", streamText(old.clientStreaming), streamText(now.clientStreaming));
  }
  if (old.serverStreaming !== now.serverStreaming) {
    add("METHOD_SERVER_STREAMING", streamText(old.serverStreaming), streamText(now.serverStreaming));
  }
  if (before.idempotency !== after.idempotency) {
    add("METHOD_IDEMPOTENCY", levelText(before.idempotency), levelText(after.idempotency));
  }
  const place = { element: after.parent, part: after.name };
  compareOptions(MethodOptionsSchema, { before: old, after: now }, place, comparison, ["idempotency_level"]);

  function compareType(was: DescMessage, is: DescMessage, kind: "METHOD_REQUEST" | "METHOD_RESPONSE"): void {
    const isSame = comparison.pairing.nameNow(was.typeName) === is.typeName;
    if (isSame && nameInPackage(was) === nameInPackage(is)) return;
    add(isSame ? `${kind}_RENAMED` : kind, was.typeName, is.typeName);
  }
}

function streamText(isStream: boolean): string {
  return isStream ? "a stream of messages" : "one message";
}

function levelText(level: Level): string {
  const texts = {
    [Level.IDEMPOTENCY_UNKNOWN]: "without a promise of idempotency",
    [Level.NO_SIDE_EFFECTS]: "free of side effects",
    [Level.IDEMPOTENT]: "idempotent",
  };
  return texts[level] ?? `of the level ${level}`;
}
