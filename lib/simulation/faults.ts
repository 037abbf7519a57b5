import { type Chance, pick } from "#lib/base/chance";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { SimulatedFrontend } from "./frontend.ts";
import type { Network } from "./network.ts";
import type { SimulatedStore } from "./store.ts";
import type { SimulatedWorker } from "./worker.ts";

/** Whom a fault may hit. */
interface Victims {
  readonly worker: SimulatedWorker;
  /** Another one, where there is one. */
  readonly other: SimulatedWorker | undefined;
  readonly frontend: SimulatedFrontend;
  readonly network: Network;
  readonly store: SimulatedStore;
  /** To the frontend. */
  readonly sendDeadly: () => void;
}

/** Something that goes wrong, until the world mends it or it passes by itself. */
type Fault = (victims: Victims, chance: Chance) => void;

/** What an operator may make of a worker. */
const ROLES: readonly WorkerRole[] = ["prefill", "decode", "aggregated"];

/** Everything that can go wrong in a world, by name. Each seed draws which of them it knows. */
export const FAULTS = {
  "worker killed": ({ worker }) => worker.kill(),
  "worker drained": ({ worker }, chance) => worker.drain(pick(chance, 3_000)),
  "worker stands still": ({ worker }) => worker.clock.stop(),
  "engine slow": ({ worker }, chance) => worker.mood.slow(1 + pick(chance, 6), pick(chance, 3_000)),
  "engine stalls": ({ worker }) => worker.mood.slow(1, 12_000),
  "engine broken": ({ worker }) => worker.mood.break(),
  "request kills workers": ({ sendDeadly }) => sendDeadly(),
  "link cut": ({ network, worker, frontend }) => network.cut(worker, frontend),
  "network silent": ({ network, worker, frontend }) => network.silence(worker, frontend),
  "network silent to the worker": ({ network, worker, frontend }) => network.silence(worker, frontend, ["server"]),
  "network silent to the frontend": ({ network, worker, frontend }) => network.silence(worker, frontend, ["caller"]),
  "events lost": ({ network, frontend }) => network.spoil(frontend, { drop: 0.2 }),
  "events repeated": ({ network, frontend }) => network.spoil(frontend, { duplicate: 0.3, lateMs: 400 }),
  "events late": ({ network, frontend }) => network.spoil(frontend, { late: 0.3, lateMs: 400 }),
  "cache cleared": ({ worker }) => void worker.clearCache(),
  "workers cut": ({ network, worker, other }) => other && network.cut(worker, other),
  "workers silent": ({ network, worker, other }) => other && network.silence(worker, other),
  "workers silent one way": ({ network, worker, other }, chance) => {
    if (other) network.silence(worker, other, [pick(chance, 2) === 0 ? "caller" : "server"]);
  },
  "blocks spoiled": ({ worker }) => worker.spoil(true),
  "memory forbidden": ({ worker }) => worker.plane?.mover?.forbid(true),
  "role changed": ({ worker }, chance) => {
    // Where all do all of a request nobody would be there for answers.
    if (worker.plan.transfer) worker.changeRole(ROLES[pick(chance, ROLES.length)]!, pick(chance, 3_000));
  },
  "lease revoked": ({ worker }) => worker.line.loseLease(),
  "worker without store": ({ worker }) => worker.line.take(),
  "frontend without store": ({ frontend }) => frontend.line.take(),
  "frontend stands still": ({ frontend }) => frontend.clock.stop(),
  "frontend killed": ({ frontend }) => frontend.kill(),
  "frontend closed": ({ frontend }, chance) => frontend.close(pick(chance, 2) * pick(chance, 2_000)),
  "store stands still": ({ store }) => store.clock.stop(),
  "store forgets": ({ store }) => store.forget(),
} as const satisfies Readonly<Record<string, Fault>>;

/** One of {@link FAULTS}. */
export type FaultName = keyof typeof FAULTS;

/** The faults that one seed knows: about half of them, so that each meets each other alone too. */
export function drawFaults(chance: Chance): FaultName[] {
  return (Object.keys(FAULTS) as FaultName[]).filter(() => pick(chance, 2) === 0);
}
