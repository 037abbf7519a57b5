import type { DescMessage } from "@bufbuild/protobuf";
import type { Contract } from "./contract.ts";
import type { Reach } from "./difference.ts";

/** Finds who reads a message, by its full name in the newer contract. */
export type ReachOf = (name: string) => Reach;

/** Walks from the methods of both contracts to the messages that they take and answer. `nameNow` gives a name of the older. */
export function findReach(before: Contract, after: Contract, nameNow: (name: string) => string): ReachOf {
  const requests = new Set<string>();
  const responses = new Set<string>();
  for (const [contract, rename] of [
    [before, nameNow],
    [after, (name: string) => name],
  ] as const) {
    const services = [...contract.elements.values()].filter((element) => element.kind === "service");
    const methods = services.flatMap((service) => service.methods);
    walk(
      methods.map(({ input }) => input),
      requests,
      rename,
    );
    walk(
      methods.map(({ output }) => output),
      responses,
      rename,
    );
  }
  return (name) => ({ isRequest: requests.has(name), isResponse: responses.has(name) });
}

/** Adds the names of these messages and of all that they hold. */
function walk(roots: readonly DescMessage[], seen: Set<string>, rename: (name: string) => string): void {
  const visited = new Set<DescMessage>();
  const open = [...roots];
  for (let message = open.pop(); message !== undefined; message = open.pop()) {
    if (visited.has(message)) continue;
    visited.add(message);
    seen.add(rename(message.typeName));
    for (const field of message.fields) {
      if (field.enum) seen.add(rename(field.enum.typeName));
      if (field.message) open.push(field.message);
    }
  }
}
