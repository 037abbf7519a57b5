import { systemClock } from "#lib/host/system-clock";
import { loadTls } from "#lib/rpc/credentials";
import { createAuthority, createIdentity } from "../../support/certificates.ts";
import { grpcRig, openDirectRig, openMemoryRig } from "./rigs.ts";
import { eventSuite } from "./suite.ts";

const authority = createAuthority("test authority");

eventSuite("memory", openMemoryRig);
eventSuite("a direct call", openDirectRig);
eventSuite("gRPC", grpcRig());
eventSuite("gRPC with mutual TLS", grpcRig({ listen: mutualTls("worker-1"), dial: mutualTls("frontend-1") }));

function mutualTls(name: string) {
  const { certificate, key } = createIdentity(name, authority);
  const pem = { certificate: { pem: certificate }, key: { pem: key }, authority: { pem: authority.certificate } };
  return loadTls({ ...pem, mutual: true }, systemClock);
}
