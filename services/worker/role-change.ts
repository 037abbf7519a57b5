import { StatorError } from "#lib/base/errors";
import { TEXT_ROLES, type WorkerRole } from "#lib/discovery/worker-role";
import { requireAbility } from "#lib/engines/ability";
import type { Engine } from "#lib/engines/engine";

/** The worker that takes another role. */
export interface RoleHolder {
  /** Its engine. Throws MODEL_LOADING, DRAINING or ENGINE_FAILED when nothing new can start. */
  engineOf(): Engine;
  /** Takes nothing new, for this reason, and waits until all has ended, at most so long. Throws DRAINING or ENGINE_FAILED when it ends meanwhile. */
  stop(reason: string, deadlineMs: number): Promise<void>;
  /** Ends what still runs with the error, and comes back as another incarnation. */
  comeBack(error: StatorError): Promise<void>;
}

/** What part of requests a worker does, and how it is given another. */
export class RoleChange {
  readonly #holder: RoleHolder;
  readonly #drainMs: number;
  #role: WorkerRole;

  /** @param drainMs time to finish what runs, for who says none */
  constructor(holder: RoleHolder, { role, drainMs }: { readonly role: WorkerRole; readonly drainMs: number }) {
    this.#holder = holder;
    this.#role = role;
    this.#drainMs = drainMs;
  }

  /** As it is now. */
  get role(): WorkerRole {
    return this.#role;
  }

  /** Throws UNSUPPORTED_FEATURE when this engine cannot do its role. */
  check(engine: Engine, role = this.#role): void {
    if (role !== "aggregated") requireAbility(engine, "blocks");
  }

  /**
   * Drains, changes and comes back. Resolves with the role before. Throws INVALID_ARGUMENT, UNSUPPORTED_FEATURE, and what the
   * holder throws: DRAINING while another change is under way and when the worker ends meanwhile.
   */
  async change(name: string, drainMs = this.#drainMs): Promise<WorkerRole> {
    const role = TEXT_ROLES.find((each) => each === name);
    if (!role) throw new StatorError("INVALID_ARGUMENT", { detail: `role: expected one of ${TEXT_ROLES.join(", ")}` });
    this.check(this.#holder.engineOf(), role);
    const before = this.#role;
    if (role === before) return before;
    await this.#holder.stop(`The worker takes the role ${role}.`, drainMs);
    this.#role = role;
    await this.#holder.comeBack(new StatorError("STREAM_LOST", { detail: `the worker has taken the role ${role}` }));
    return before;
  }
}
