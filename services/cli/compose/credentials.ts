import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import type { Credentials } from "#lib/rpc/credentials";
import { insecureCredentials, isLoopback, loadTls, loopbackCredentials } from "#lib/rpc/credentials";
import type { CliConfig } from "../command.ts";

/** How the gRPC ports of this process listen and dial: TLS when a certificate is given, else loopback alone. */
export function credentialsFrom(values: CliConfig["values"]): Credentials {
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
      systemClock,
    );
  }
  return values["insecure-listen"] ? insecureCredentials : loopbackCredentials;
}

/** Throws UNSAFE_HTTP when `what` would speak HTTP, which has no TLS here, beyond loopback and nobody allowed it. */
export function checkHttpListen(values: CliConfig["values"], what: string, host: string): void {
  if (!values["insecure-listen"] && !isLoopback(host)) throw new StatorError("UNSAFE_HTTP", { what, host });
}
