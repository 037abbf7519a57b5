import type { Etcd3, IOptions } from "etcd3";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { type Credentials, isLoopback } from "#lib/rpc/credentials";
import { CLIENT_OPTIONS } from "#lib/rpc/settings";
import { plainReason } from "./plain-reason.ts";

/** The library, imported when etcd is used and not before. */
export type EtcdLibrary = typeof import("etcd3");

/** Where etcd is and how to get in. */
export interface EtcdAddress {
  /** Each host:port; one cluster. */
  readonly hosts: readonly string[];
  /** For TLS, and whether plaintext to another machine is allowed. */
  readonly credentials: Credentials;
  /** Name and password of an etcd user. */
  readonly user?: { readonly name: string; readonly password: string };
}

/** Longest single call; attempts have shorter limits of their own. */
const CALL_MS = 5_000;

/**
 * A client with a session of its own. What the library does by itself is switched off: retries, circuit breakers, watches
 * and leases are the supervisor's. Throws BAD_CONFIG for plaintext to another machine that nobody allowed.
 */
export function createEtcdClient(library: EtcdLibrary, address: EtcdAddress, clock: Clock): Etcd3 {
  const { credentials, hosts, user } = address;
  const tls = credentials.kind === "tls";
  for (const host of hosts) {
    if (credentials.kind !== "loopback" || isLoopback(host.replace(/:\d+$/, ""))) continue;
    const detail = `Talking to etcd at ${host} in plaintext must be allowed explicitly, since it is another machine.`;
    throw new StatorError("BAD_CONFIG", { detail });
  }
  const serverName = tls ? credentials.serverName : undefined;
  return new library.Etcd3({
    hosts: hosts.map((host) => `${tls ? "https" : "http"}://${host}`),
    ...(tls && credentials.authority ? { credentials: tlsOptions(credentials.authority, credentials.identity) } : {}),
    ...(user ? { auth: { username: user.name, password: user.password } } : {}),
    grpcOptions: { ...CLIENT_OPTIONS, ...(serverName ? { "grpc.ssl_target_name_override": serverName } : {}) },
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: clock.unixMs() + CALL_MS }),
    faultHandling: { host: () => once, global: once },
  });
}

function tlsOptions(
  authority: Buffer,
  identity: { certificate: Buffer; key: Buffer } | undefined,
): IOptions["credentials"] {
  if (!identity) return { rootCertificate: authority };
  return { rootCertificate: authority, privateKey: identity.key, certChain: identity.certificate };
}

type Policy = NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;

/** The policy that does nothing but call. Its events and its marker are never used by the library. */
const once = {
  execute: async (call: (context: { signal: AbortSignal }) => unknown) =>
    call({ signal: new AbortController().signal }),
} as unknown as Policy;

/** An error of the library as ours. `place` names the cluster. */
export function etcdError(library: EtcdLibrary, caught: unknown, place: string): StatorError {
  if (caught instanceof StatorError) return caught;
  const cause = caught;
  if (cause instanceof library.EtcdLeaseInvalidError || cause instanceof library.GRPCNotFoundError) {
    return new StatorError("NOT_FOUND", { what: "The lease" }, { cause });
  }
  const refused = [
    library.EtcdPermissionDeniedError,
    library.EtcdAuthenticationFailedError,
    library.EtcdInvalidAuthTokenError,
    library.GRPCUnauthenticatedError,
  ];
  const detail = plainReason(cause instanceof Error ? cause.message : "an unknown error");
  if (refused.some((kind) => cause instanceof kind)) {
    return new StatorError("BAD_CONFIG", { detail: `${place} refuses this user: ${detail}.` }, { cause });
  }
  if (cause instanceof library.GRPCInvalidArgumentError) {
    return new StatorError("INVALID_ARGUMENT", { detail: `${place} refuses the request: ${detail}` }, { cause });
  }
  if (cause instanceof library.GRPCResourceExhastedError) {
    return new StatorError("OVERLOADED", { what: "records of etcd" }, { cause });
  }
  return new StatorError("UNAVAILABLE", { what: place, detail }, { cause });
}
