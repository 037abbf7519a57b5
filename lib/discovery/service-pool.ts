import type { DescMessage, DescMethodUnary, DescService, MessageShape } from "@bufbuild/protobuf";
import { type InstanceRecord, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Client } from "#lib/rpc/client";
import { createClient } from "#lib/rpc/client";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { CallOptions, MethodOf, Transport } from "#lib/rpc/transport";
import type { DiscoveryWatch } from "./discovery.ts";

/** How long an instance that could not be reached is passed over while others answer. */
const SUSPENDED_MS = 2_000;
/** An instance that left may finish its open calls for so long. */
const LINGER_MS = 30_000;
const LINGER_LOOK_MS = 100;

/** A way to one instance that knows what is open on it, such as a channel of `#lib/rpc`. */
export interface PoolTransport extends Transport {
  /** Calls on it that have not ended. */
  readonly openCalls: number;
}

/** What a pool lives on. */
export interface ServicePoolOptions {
  /** Borrowed. Its prefix must contain `instances`. */
  readonly watch: DiscoveryWatch;
  /** Makes the way to an address. The pool closes it. */
  readonly dial: (address: string) => PoolTransport;
  /** Tells how long an instance is passed over, and how long it may finish. */
  readonly clock: Clock;
}

/** One instance with the way to it. */
export interface PoolMember<Service extends DescService> {
  /** Its record, as it was at the last change. */
  readonly instance: InstanceRecord;
  /** Calls through this go to it alone. */
  readonly client: Client<Service>;
  /** The way to it. The pool closes it. */
  readonly transport: Transport;
}

/** Clients of a service wherever it is answered now. */
export interface ServicePool<Service extends DescService> {
  /** Calls through this go to the members in turn. Streams stay where they began. */
  readonly client: Client<Service>;
  /** The instances that are ready and answer the service, by id. */
  readonly instances: readonly InstanceRecord[];
  /** The next in turn, or this one. UNAVAILABLE when nobody answers the service, NOT_FOUND when this instance does not. */
  pick(instanceId?: bigint): PoolMember<Service>;
  /** Passes over an instance for two seconds while others answer: what somebody who failed to reach it should say. */
  suspend(instanceId: bigint): void;
  /** Closes all ways at once. The watch stays open. */
  close(): void;
}

interface Member<Service extends DescService> extends PoolMember<Service> {
  instance: InstanceRecord;
  readonly transport: PoolTransport;
  suspendedUntilMs: number;
}

/**
 * A client of any Protobuf service, of whichever instances say that they answer it. One channel per instance, opened at
 * its first call and kept; an instance that leaves gets no new call and may finish what it has.
 */
export function createServicePool<Service extends DescService>(
  service: Service,
  options: ServicePoolOptions,
): ServicePool<Service> {
  return new Pool(service, options);
}

class Pool<Service extends DescService> implements ServicePool<Service> {
  readonly client: Client<Service>;
  readonly #service: Service;
  readonly #options: ServicePoolOptions;
  readonly #unsubscribe: () => void;
  readonly #members = new Map<bigint, Member<Service>>();
  readonly #leaving = new Map<PoolTransport, Timer>();
  #instances: InstanceRecord[] = [];
  #turn = 0;

  constructor(service: Service, options: ServicePoolOptions) {
    this.#service = service;
    this.#options = options;
    this.client = createClient(service, new TurnTransport(this));
    this.#unsubscribe = options.watch.subscribe(() => this.#follow());
  }

  get name(): string {
    return this.#service.typeName;
  }

  get instances(): readonly InstanceRecord[] {
    return this.#instances;
  }

  pick(instanceId?: bigint): Member<Service> {
    if (instanceId !== undefined) return this.#memberOf(this.#find(instanceId));
    const nowMs = this.#options.clock.nowMs();
    const count = this.#instances.length;
    if (count === 0) {
      const detail = this.#options.watch.synced
        ? "no instance answers it now"
        : "discovery is lost and knew no instance";
      throw new StatorError("UNAVAILABLE", { what: this.name, detail });
    }
    const turn = this.#turn++;
    for (let at = 0; at < count; at++) {
      const instance = this.#instances[(turn + at) % count]!;
      const member = this.#members.get(instance.instanceId);
      if (!member || member.suspendedUntilMs <= nowMs) return this.#memberOf(instance);
    }
    return this.#memberOf(this.#instances[turn % count]!);
  }

  suspend(instanceId: bigint): void {
    const member = this.#members.get(instanceId);
    if (member) member.suspendedUntilMs = this.#options.clock.nowMs() + SUSPENDED_MS;
  }

  close(): void {
    this.#unsubscribe();
    this.#instances = [];
    for (const { transport } of this.#members.values()) transport.close();
    for (const [transport, timer] of this.#leaving) {
      timer.cancel();
      transport.close();
    }
    this.#members.clear();
    this.#leaving.clear();
  }

  #find(instanceId: bigint): InstanceRecord {
    const instance = this.#instances.find((one) => one.instanceId === instanceId);
    if (instance) return instance;
    throw new StatorError("NOT_FOUND", { what: `An instance of ${this.name} with this id` });
  }

  #memberOf(instance: InstanceRecord): Member<Service> {
    const known = this.#members.get(instance.instanceId);
    if (known) return known;
    const transport = this.#options.dial(instance.address);
    const client = createClient(this.#service, transport);
    const member = { instance, client, transport, suspendedUntilMs: Number.NEGATIVE_INFINITY };
    this.#members.set(instance.instanceId, member);
    return member;
  }

  #follow(): void {
    const found = new Map<bigint, InstanceRecord>();
    for (const { value } of this.#options.watch.records.values()) {
      if (value.case !== "instance" || value.value.state !== InstanceState.READY) continue;
      if (value.value.services.includes(this.name)) found.set(value.value.instanceId, value.value);
    }
    this.#instances = [...found.values()].sort((left, right) => (left.instanceId < right.instanceId ? -1 : 1));
    for (const [id, member] of this.#members) {
      const now = found.get(id);
      if (now?.address === member.instance.address && now.incarnation === member.instance.incarnation) {
        member.instance = now;
      } else {
        this.#members.delete(id);
        this.#release(member.transport, this.#options.clock.nowMs() + LINGER_MS);
      }
    }
  }

  /** Closes a way when nothing is open on it, or when its time is over. */
  #release(transport: PoolTransport, untilMs: number): void {
    const { clock } = this.#options;
    if (transport.openCalls === 0 || clock.nowMs() >= untilMs) {
      this.#leaving.delete(transport);
      transport.close();
    } else
      this.#leaving.set(
        transport,
        clock.after(LINGER_LOOK_MS, () => this.#release(transport, untilMs)),
      );
  }
}

/** Every call goes to the member whose turn it is. */
class TurnTransport<Service extends DescService> implements Transport {
  readonly #pool: Pool<Service>;

  constructor(pool: Pool<Service>) {
    this.#pool = pool;
  }

  get target(): string {
    return this.#pool.name;
  }

  open<I extends DescMessage, O extends DescMessage>(
    method: MethodOf<I, O>,
    options?: CallOptions,
  ): DuplexChannel<MessageShape<I>, MessageShape<O>> {
    return this.#pool.pick().transport.open(method, options);
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>> {
    const { instance, transport } = this.#pool.pick();
    try {
      return await transport.unary(method, request, options);
    } catch (error) {
      if (asStatorError(error).reason === "UNAVAILABLE") this.#pool.suspend(instance.instanceId);
      throw error;
    }
  }

  /** The members belong to the pool. */
  close(): void {}
}
