import { create, type MessageShape } from "@bufbuild/protobuf";
import {
  Health,
  type HealthCheckRequestSchema,
  HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "#gen/grpc/health/v1/health_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import { createService, type ServedService } from "./service.ts";
import type { DuplexChannel } from "./stream.ts";

/** What a process says of its own services, and grpc.health.v1 that answers it. */
export interface HealthBoard {
  /** Answers Check, List and Watch. */
  readonly service: ServedService;
  /** Sets a service by its full name. The empty name is the whole server; while unset it serves when all its services do. */
  set(service: string, serving: boolean): void;
  /** Says NOT_SERVING for everything from here on and ends the watches. */
  close(): void;
}

type Watcher = DuplexChannel<
  MessageShape<typeof HealthCheckResponseSchema>,
  MessageShape<typeof HealthCheckRequestSchema>
>;

/** A board on which nothing is set: the whole server is NOT_SERVING. */
export function createHealth(): HealthBoard {
  const board = new Board();
  const service = createService(
    Health,
    {
      check: ({ service: name }) => ({ status: board.check(name) }),
      list: () => ({ statuses: Object.fromEntries(board.all().map(([name, status]) => [name, { status }])) }),
      watch: {
        open(channel, call) {
          board.watch(channel);
          call.signal.addEventListener("abort", () => board.leave(channel));
        },
      },
    },
    { access: Access.PUBLIC },
  );
  return { service, set: (name, serving) => board.set(name, serving), close: () => board.close() };
}

class Board {
  readonly #serving = new Map<string, boolean>();
  readonly #watchers = new Map<Watcher, { readonly name: string; last: ServingStatus }>();
  #closed = false;

  set(name: string, serving: boolean): void {
    if (this.#closed) return;
    this.#serving.set(name, serving);
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    this.#tell();
    for (const channel of [...this.#watchers.keys()]) channel.end();
    this.#watchers.clear();
  }

  check(name: string): ServingStatus {
    const status = this.#status(name);
    if (status === ServingStatus.SERVICE_UNKNOWN) throw new StatorError("NOT_FOUND", { what: `The service ${name}` });
    return status;
  }

  all(): (readonly [string, ServingStatus])[] {
    return [...new Set(["", ...this.#serving.keys()])].map((name) => [name, this.#status(name)]);
  }

  watch(channel: Watcher): void {
    channel.receive({
      onMessage: ({ service: name }) => {
        const last = this.#status(name);
        this.#watchers.set(channel, { name, last });
        channel.send(create(HealthCheckResponseSchema, { status: last }));
        if (this.#closed) channel.end();
      },
      // A caller that asked and half-closed still watches; one that goes away aborts the call.
      onEnd() {},
    });
  }

  /** Ends a watch whose caller is gone. */
  leave(channel: Watcher): void {
    this.#watchers.delete(channel);
  }

  #status(name: string): ServingStatus {
    const serving = this.#serving.get(name) ?? (name === "" ? this.#allServe() : undefined);
    if (serving === undefined) return ServingStatus.SERVICE_UNKNOWN;
    return serving && !this.#closed ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  #allServe(): boolean {
    return this.#serving.size > 0 && [...this.#serving.values()].every((serving) => serving);
  }

  #tell(): void {
    for (const [channel, watch] of this.#watchers) {
      const status = this.#status(watch.name);
      if (status === watch.last) continue;
      watch.last = status;
      channel.send(create(HealthCheckResponseSchema, { status }));
    }
  }
}
