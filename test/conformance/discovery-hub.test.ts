import { loopbackCredentials } from "#lib/rpc/credentials";
import { discoveryConformance } from "./discovery.ts";
import { openHubRig } from "./discovery-hub-rig.ts";

const plain = { listen: loopbackCredentials, dial: loopbackCredentials };

discoveryConformance("a hub that restarts empty", () => openHubRig({ ...plain, forgets: true }));
