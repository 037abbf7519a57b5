import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import {
  type ChannelCredentials,
  type ChannelOptions,
  credentials as dialling,
  ServerCredentials,
} from "@grpc/grpc-js";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";

/** How a listener or a dialler proves itself and hides its bytes. Every listen and dial takes one. */
export type Credentials = LoopbackCredentials | InsecureCredentials | TlsCredentials;

/** Plaintext, and only on this machine. */
export interface LoopbackCredentials {
  readonly kind: "loopback";
}

/** Plaintext anywhere: said explicitly, by a person. */
export interface InsecureCredentials {
  readonly kind: "insecure";
}

/** TLS from PEM. The same value serves a listener and a dialler where both use one certificate. */
export interface TlsCredentials {
  readonly kind: "tls";
  /** Own chain and key: a listener needs them; a dialler sends them when asked. */
  readonly identity: { readonly certificate: Buffer; readonly key: Buffer } | undefined;
  /** Authorities that the other side must be signed by; undefined uses the system's when dialling. */
  readonly authority: Buffer | undefined;
  /** Mutual: a listener refuses callers whose certificate the authority did not sign. */
  readonly mutual: boolean;
  /** Name that the listener's certificate must carry, where it differs from the address dialled. */
  readonly serverName: string | undefined;
}

/** PEM text, or where to find it. */
export type Pem = { readonly path: string } | { readonly pem: string | Buffer };

/** Plaintext on this machine only. */
export const loopbackCredentials: Credentials = { kind: "loopback" };

/** Plaintext anywhere. */
export const insecureCredentials: Credentials = { kind: "insecure" };

/**
 * Reads and checks TLS material: FILE_NOT_FOUND for a missing file, BAD_CONFIG for what is not PEM, has expired, or a key
 * that belongs to another certificate. Blocks; call at start.
 */
export function loadTls(
  from: { certificate?: Pem; key?: Pem; authority?: Pem; mutual?: boolean; serverName?: string },
  clock: Clock,
): Credentials {
  const { certificate, key, authority, mutual = false, serverName } = from;
  if (!certificate !== !key) throw bad("A certificate and its key are given together");
  if (mutual && !(certificate && authority)) throw bad("Mutual TLS needs a certificate, its key and an authority");
  if (!certificate && !authority && !serverName) throw bad("TLS needs a certificate or an authority");
  const identity = certificate && key && loadIdentity(certificate, key, clock);
  if (authority) parseCertificate(authority);
  return { kind: "tls", identity, authority: authority && read(authority), mutual, serverName };
}

function loadIdentity(certificate: Pem, key: Pem, clock: Clock): { certificate: Buffer; key: Buffer } {
  const parsed = parseCertificate(certificate);
  if (Date.parse(parsed.validTo) < clock.unixMs()) throw bad(`${nameOf(certificate)} expired on ${parsed.validTo}`);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(read(key));
  } catch (cause) {
    if (cause instanceof StatorError) throw cause;
    throw bad(`${nameOf(key)} is not a private key in PEM`, cause);
  }
  if (!parsed.checkPrivateKey(privateKey)) {
    throw bad(`${nameOf(key)} is not the key of ${nameOf(certificate)}`);
  }
  return { certificate: read(certificate), key: read(key) };
}

function parseCertificate(pem: Pem): X509Certificate {
  const bytes = read(pem);
  try {
    return new X509Certificate(bytes);
  } catch (cause) {
    throw bad(`${nameOf(pem)} is not a certificate in PEM`, cause);
  }
}

function read(pem: Pem): Buffer {
  if ("pem" in pem) return Buffer.from(pem.pem);
  try {
    return readFileSync(pem.path);
  } catch (cause) {
    const hint = "It should hold a certificate or key in PEM.";
    throw new StatorError("FILE_NOT_FOUND", { path: pem.path, hint }, { cause });
  }
}

function nameOf(pem: Pem): string {
  return "path" in pem ? pem.path : "The given PEM";
}

function bad(detail: string, cause?: unknown): StatorError {
  return new StatorError("BAD_CONFIG", { detail: `${detail}.` }, { cause });
}

/** Whether a host name or address is this machine for certain. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").toLowerCase();
  if (bare === "localhost" || bare === "::1" || bare === "::ffff:127.0.0.1") return true;
  return isIP(bare) === 4 && bare.startsWith("127.");
}

/** Refuses to listen in plaintext beyond this machine unless that was said explicitly. `flag` names the option that gives a certificate. */
export function checkListen(credentials: Credentials, host: string, flag = "--tls-cert"): void {
  if (credentials.kind === "loopback" && !isLoopback(host)) throw new StatorError("UNSAFE_LISTEN", { host, flag });
}

/** The listener's half for grpc-js. */
export function listenCredentials(credentials: Credentials): ServerCredentials {
  if (credentials.kind !== "tls") return ServerCredentials.createInsecure();
  const { identity, authority, mutual } = credentials;
  if (!identity) throw bad("Listening with TLS needs a certificate and its key");
  const pair = { private_key: identity.key, cert_chain: identity.certificate };
  return ServerCredentials.createSsl(authority ?? null, [pair], mutual);
}

/** The dialler's half for grpc-js, for a target such as host:port. Refuses loopback plaintext to elsewhere. */
export function dialCredentials(
  credentials: Credentials,
  target: string,
): { credentials: ChannelCredentials; options: ChannelOptions } {
  if (credentials.kind === "tls") return dialTls(credentials, target);
  if (credentials.kind === "loopback" && !target.startsWith("unix:") && !isLoopback(hostOf(target))) {
    throw bad(`Calling ${target} in plaintext must be allowed explicitly, since it is another machine`);
  }
  return { credentials: dialling.createInsecure(), options: {} };
}

function dialTls(
  { identity, authority, serverName }: TlsCredentials,
  target: string,
): { credentials: ChannelCredentials; options: ChannelOptions } {
  const host = hostOf(target);
  // TLS has no server name for an address, and Node warns when one is sent: a name that means nothing goes out instead,
  // and the certificate is checked against the address.
  const byAddress = !serverName && isIP(host) !== 0;
  const verify = byAddress
    ? { checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate) }
    : {};
  const made = dialling.createSsl(authority, identity?.key, identity?.certificate, verify);
  const name = byAddress ? `${host.replace(/[.:]+/g, "-")}.ip.invalid` : serverName;
  return {
    credentials: made,
    options: {
      ...(name && { "grpc.ssl_target_name_override": name }),
      ...(serverName && { "grpc.default_authority": serverName }),
    },
  };
}

function hostOf(target: string): string {
  return target.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}
