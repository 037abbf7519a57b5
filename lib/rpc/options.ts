import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { flag, integer, type Options, PORT, text, type Values } from "#lib/base/option";
import { type Credentials, insecureCredentials, isLoopback, loadTls, loopbackCredentials } from "./credentials.ts";
import type { OperatorsFrom } from "./operators.ts";
import { MESSAGE_LIMIT_BYTES } from "./settings.ts";

/** Where a process listens for gRPC, and what it tells others. */
export const RPC_OPTIONS = {
  "grpc.host": text({ initial: "127.0.0.1", placeholder: "HOST", doc: "Where a process listens for gRPC." }),
  "grpc.port": integer({
    initial: 0,
    ...PORT,
    doc: "gRPC port of this process; 0 takes a free one.",
  }),
  "grpc.message-bytes": integer({
    initial: MESSAGE_LIMIT_BYTES,
    unit: "bytes",
    least: 1024 * 1024,
    most: 1024 * 1024 * 1024,
    doc: "Longest message that the gRPC port of a process receives or sends; a longer one is refused.",
  }),
  "advertise-host": text({
    initial: undefined,
    placeholder: "HOST",
    doc: "Host that others should dial, when it is not grpc.host.",
  }),
} as const satisfies Options;

/** How gRPC ports prove themselves. */
export const TLS_OPTIONS = {
  "tls.cert": text({ initial: undefined, placeholder: "FILE", doc: "Certificate chain (PEM) of the gRPC ports." }),
  "tls.key": text({ initial: undefined, placeholder: "FILE", doc: "Private key (PEM) of the gRPC ports." }),
  "tls.ca": text({
    initial: undefined,
    placeholder: "FILE",
    doc: "Authorities (PEM) that peers must be signed by; with it both sides show a certificate.",
  }),
  "insecure-listen": flag({ initial: false, doc: "Allow listening beyond loopback without TLS." }),
  "operators-anywhere": flag({
    initial: false,
    doc: "Let operators call from other machines without a client certificate.",
  }),
} as const satisfies Options;

/** How the gRPC ports of this process listen and dial: TLS when a certificate is given, else loopback alone. */
export function readCredentials(values: Values<typeof TLS_OPTIONS>, clock: Clock): Credentials {
  const certificate = values["tls.cert"];
  const key = values["tls.key"];
  const authority = values["tls.ca"];
  if (certificate !== undefined || key !== undefined || authority !== undefined) {
    return loadTls(
      {
        certificate: certificate === undefined ? undefined : { path: certificate },
        key: key === undefined ? undefined : { path: key },
        authority: authority === undefined ? undefined : { path: authority },
        mutual: certificate !== undefined && authority !== undefined,
      },
      clock,
    );
  }
  return values["insecure-listen"] ? insecureCredentials : loopbackCredentials;
}

/** From where operators may call the ports of this process. */
export function readOperators(values: Pick<Values<typeof TLS_OPTIONS>, "operators-anywhere">): OperatorsFrom {
  return values["operators-anywhere"] ? "anywhere" : "here";
}

/** Throws UNSAFE_HTTP when `what` would speak HTTP, which has no TLS here, beyond loopback and nobody allowed it. */
export function checkHttpListen(
  values: Pick<Values<typeof TLS_OPTIONS>, "insecure-listen">,
  what: string,
  host: string,
): void {
  if (!values["insecure-listen"] && !isLoopback(host)) throw new StatorError("UNSAFE_HTTP", { what, host });
}
