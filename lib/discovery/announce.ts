import { create, type DescService } from "@bufbuild/protobuf";
import {
  type InstanceRecord,
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
} from "#gen/stator/discovery/v1/discovery_pb";
import type { Chance } from "#lib/base/chance";
import type { Log } from "#lib/host/log";
import type { Discovery } from "./discovery.ts";
import { instanceKey } from "./record-keys.ts";

/** What a server says about itself. */
export interface AnnounceOptions {
  /** Services that it answers, by their descriptors or as `lib/rpc` serves them. */
  readonly services: readonly (DescService | { readonly service: DescService })[];
  /** host:port that others dial. */
  readonly address: string;
  /** Time after which a silent process is taken off the list. */
  readonly ttlMs: number;
  /** Draws the incarnation, and the instance's id unless given. */
  readonly chance: Chance;
  /** Told when an announcement has to be repeated later. */
  readonly log: Log;
  /** Stays the same over a re-registration; drawn when absent. Not 0. */
  readonly instanceId?: bigint;
  /** SERVICE when absent. */
  readonly role?: InstanceRole;
  /** Of the program, for people; empty when absent. */
  readonly version?: string;
  /** Share of the calls beside others; 1 when absent. */
  readonly weight?: number;
}

/** A server that others find. */
export interface Announcement {
  /** The one that was given or drawn. */
  readonly instanceId: bigint;
  /** Another after a lapsed lease. */
  readonly incarnation: bigint;
  /** Tells of another place in life, such as DRAINING, and why. UNAVAILABLE in an outage; it is told all the same later. */
  setState(state: InstanceState, reason?: string): Promise<void>;
  /** Takes the server off the list. Idempotent; never throws. */
  close(): Promise<void>;
}

/** The server's half of `createServicePool`: publishes one instance that answers these services, ready at once. */
export async function announceServices(discovery: Discovery, options: AnnounceOptions): Promise<Announcement> {
  const { address, chance, ttlMs, log, version, weight, role = InstanceRole.SERVICE } = options;
  const instanceId = options.instanceId ?? chance.id();
  const services = options.services.map((one) => ("service" in one ? one.service : one).typeName);
  let incarnation = chance.id();
  let at: { state: InstanceState; reason: string } = { state: InstanceState.READY, reason: "" };
  const records = () => {
    const init = { instanceId, incarnation, role, address, services, version, weight, ...at };
    const value: InstanceRecord = create(InstanceRecordSchema, init);
    return [{ key: instanceKey(instanceId), value: { case: "instance", value } as const }];
  };
  const registration = await discovery.register(records(), { ttlMs });
  registration.onLapse(() => {
    incarnation = chance.id();
    registration.update(records()).catch((error: unknown) => log.debug("announcement is repeated later", { error }));
  });
  return {
    instanceId,
    get incarnation() {
      return incarnation;
    },
    setState(state, reason = "") {
      at = { state, reason };
      return registration.update(records());
    },
    close: () => registration.close(),
  };
}
