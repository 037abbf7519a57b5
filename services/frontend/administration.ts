import { FrontendService } from "#gen/stator/frontend/v1/frontend_pb";
import { StatorError } from "#lib/base/errors";
import type { FrontendDispatcher } from "#lib/dispatch/dispatcher";
import { createService, type ServedService } from "#lib/rpc/service";

const USUAL_LIMIT = 100;
const MOST_RECORDS = 1000;

/** stator.frontend.v1.FrontendService: what this frontend sees and did, for operators. */
export function createFrontendService(dispatcher: Pick<FrontendDispatcher, "workers" | "ledger">): ServedService {
  return createService(FrontendService, {
    listWorkers: () => ({ workers: dispatcher.workers() }),
    listRequests({ limit }) {
      if (limit > MOST_RECORDS) {
        throw new StatorError("INVALID_ARGUMENT", { detail: `limit: expected at most ${MOST_RECORDS}, got ${limit}` });
      }
      return { requests: dispatcher.ledger.latest(limit || USUAL_LIMIT) };
    },
  });
}
