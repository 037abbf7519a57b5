import { systemClock } from "#lib/host/system-clock";
import { loadTls } from "#lib/rpc/credentials";
import { createAuthority, createIdentity } from "../../support/certificates.ts";
import { grpcRig, openDirectRig, openMemoryRig } from "./rigs.ts";
import { linkSuite } from "./suite.ts";

const authority = createAuthority("test authority");

linkSuite("memory", openMemoryRig);
linkSuite("a direct call", openDirectRig);
linkSuite("gRPC", grpcRig());
linkSuite("gRPC with mutual TLS", grpcRig({ listen: mutualTls("worker-1"), dial: mutualTls("frontend-1") }));

function mutualTls(name: string) {
  const { certificate, key } = createIdentity(name, authority);
  const pem = { certificate: { pem: certificate }, key: { pem: key }, authority: { pem: authority.certificate } };
  return loadTls({ ...pem, mutual: true }, systemClock);
}
