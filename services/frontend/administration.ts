import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { StatorError } from "#lib/base/errors";
import type { ModelView } from "#lib/discovery/model-view";
import { absent } from "#lib/discovery/models";
import type { FrontendDispatcher } from "#lib/dispatch/dispatcher";
import type { RuleRouter } from "#lib/routing/rule-router";
import { createService, type ServedService } from "#lib/rpc/service";
import { takesTensors } from "./models/takes-tensors.ts";
import { onlyThere } from "./models/worker-text.ts";
import { printRank } from "./router-service.ts";

const USUAL_LIMIT = 100;
const MOST_RECORDS = 1000;
const MOST_HOLDERS = 8;

/** What the service tells of. Both are borrowed. */
export interface AdministrationParts {
  /** Runs this frontend's requests. */
  readonly dispatcher: Pick<FrontendDispatcher, "workers" | "ledger">;
  /** Chooses workers for them. */
  readonly router: Pick<RuleRouter, "view">;
  /** Who serves which names. */
  readonly view: Pick<ModelView, "known">;
}

/** stator.frontend.v1.FrontendService: what this frontend sees and did, for operators. */
export function createFrontendService({ dispatcher, router, view }: AdministrationParts): ServedService {
  return createService(FrontendService, {
    listWorkers: () => ({
      workers: dispatcher.workers().map((worker) => {
        const ranks = router.view(worker.instance?.instanceId ?? 0n);
        return { ...worker, ranks: ranks.map(printRank) };
      }),
    }),
    listRequests({ limit }) {
      if (limit > MOST_RECORDS) {
        throw new StatorError("INVALID_ARGUMENT", { detail: `limit: expected at most ${MOST_RECORDS}, got ${limit}` });
      }
      return { requests: dispatcher.ledger.latest(limit || USUAL_LIMIT) };
    },
    findText({ model }) {
      const named = view.known(model);
      if (!named.facts) throw absent(named);
      const { text, input } = named.facts;
      if (input === "tensor") throw takesTensors(model);
      if (!text) throw onlyThere(`The text of ${model}`);
      const { tokenizer, template, markersInContent, holders } = text;
      return { tokenizer, template, markersInContent, holders: holders.slice(0, MOST_HOLDERS) };
    },
  });
}
