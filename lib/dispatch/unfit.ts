import type { Models } from "#lib/discovery/models";
import type { RefusedWorker } from "#lib/discovery/worker-sets";
import type { Fleet } from "#lib/routing/fleet";
import { misfit } from "#lib/routing/legs/misfit";

/** Workers for prompts that get none: no worker for answers of their model can go on from their blocks. */
export function unfitOf({ names }: Pick<Models, "names">, fleet: Fleet): RefusedWorker[] {
  const unfit: RefusedWorker[] = [];
  for (const { name, model, parent, prefill, ready } of names.values()) {
    if (name !== model || parent !== undefined || ready.size === 0) continue;
    for (const instanceId of prefill.keys()) {
      const from = fleet.get(instanceId);
      const fields = [...ready.keys()].map((id) => from && misfit(from, fleet.get(id) ?? from));
      const [first] = fields;
      if (first === undefined || fields.includes(undefined)) continue;
      const reason = `Its blocks do not become those of workers for answers: they differ in ${first}.`;
      unfit.push({ instanceId, model, reason });
    }
  }
  return unfit;
}
