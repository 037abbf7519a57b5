import type { IncomingMessage } from "node:http";
import { isLoopback } from "#lib/rpc/credentials";
import { mayOperate, type OperatorsFrom } from "#lib/rpc/operators";

/** What proxies say of whom they ask for. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/**
 * Whether a request may ask for what is for operators. The port has no certificates, so `here` is a program of this machine
 * alone: neither one behind a proxy that says so, nor a page of another origin in a browser here, which could reach the
 * port without reading the answer or by a name that leads here.
 */
export function operates(
  { headers, socket }: Pick<IncomingMessage, "headers" | "socket">,
  from: OperatorsFrom,
): boolean {
  if (from === "anywhere") return true;
  const address = `${socket.remoteAddress ?? ""}:${socket.remotePort ?? 0}`;
  if (!mayOperate({ address, proven: false }, from)) return false;
  if (FORWARDED.some((name) => headers[name] !== undefined)) return false;
  const { host, origin } = headers;
  return isHere(host ?? "localhost") && isHere(origin?.replace(/^https?:\/\//, "") ?? "localhost");
}

/** Whether a name such as `localhost:8000` is this machine's. */
function isHere(authority: string): boolean {
  return isLoopback(authority.replace(/:\d+$/, ""));
}
