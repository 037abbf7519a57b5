import { StatorError } from "#lib/base/errors";
import type { Peer } from "./call.ts";
import { isLoopback } from "./credentials.ts";

/** From where operators may call: `here` is this machine, and whoever shows a certificate that mutual TLS verified. */
export type OperatorsFrom = "here" | "anywhere";

/** Whether a caller may call what is for operators. */
export function mayOperate({ address, proven }: Pick<Peer, "address" | "proven">, from: OperatorsFrom): boolean {
  return from === "anywhere" || proven || isLoopback(address.slice(0, Math.max(0, address.lastIndexOf(":"))));
}

/** Why a caller that may not was refused; `method` names what it called. */
export function operatorsOnly(method: string): StatorError {
  const to =
    " to other machines: operators there need a client certificate (--tls-ca), or --operators-anywhere at this process";
  return new StatorError("ACCESS_DENIED", { method, to });
}
