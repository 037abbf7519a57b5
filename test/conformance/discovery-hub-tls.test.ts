import { systemClock } from "#lib/host/system-clock";
import { loadTls } from "#lib/rpc/credentials";
import { createAuthority, createIdentity } from "../support/certificates.ts";
import { discoveryConformance } from "./discovery.ts";
import { openHubRig } from "./discovery-hub-rig.ts";

const authority = createAuthority("discovery test authority");
const hub = createIdentity("hub", authority);
const member = createIdentity("worker-1", authority);
const mutual = (own: typeof hub) =>
  loadTls(
    {
      certificate: { pem: own.certificate },
      key: { pem: own.key },
      authority: { pem: authority.certificate },
      mutual: true,
    },
    systemClock,
  );

discoveryConformance("a hub under mutual TLS whose network fails", () =>
  openHubRig({ forgets: false, listen: mutual(hub), dial: mutual(member) }),
);
