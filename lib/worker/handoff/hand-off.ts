import { StatorError } from "#lib/base/errors";
import type { GenerateRequest } from "#lib/engines/engine";
import type { TransferAgent, TransferLoad, TransferSource } from "#lib/transfer/agent";
import { ContinuedLeg, type Fetching, type Traced } from "./continued-leg.ts";
import type { Leg } from "./leg.ts";
import { PrefillLeg } from "./prefill-leg.ts";
import { PromptLeg } from "./prompt-leg.ts";

/** What a worker does so that answers go on elsewhere than they began: there when its engine's blocks can move. */
export interface HandOff {
  /** What is kept for others now. */
  readonly load: TransferLoad;
  /** The leg that computes a prompt. Throws OVERLOADED when too much is kept for others already. */
  prefill(request: GenerateRequest, room: bigint | undefined): Leg;
  /** The leg that computes a prompt alone, of whose answer nothing is drawn. Throws OVERLOADED as `prefill`. */
  compute(request: GenerateRequest): Leg;
  /** The leg that goes on from what was computed elsewhere. */
  goOn(request: GenerateRequest, about: Traced & { readonly from: TransferSource }): Leg;
  /** Lets go of a session that is kept here; false when there is none of this name. */
  release(sessionId: string): boolean;
}

/** What a hand-off is made of. It owns nothing of this. */
export interface HandOffDeps extends Omit<Fetching, "agent"> {
  /** The worker's part of the data plane. */
  readonly agent: TransferAgent;
  /** Longest prompt and answer of the engine together. */
  readonly contextTokens: number;
}

/** The hand-off of a worker. */
export function createHandOff(deps: HandOffDeps): HandOff {
  const { agent, contextTokens } = deps;
  const checkRoom = (): void => {
    if (agent.load.isFull) throw new StatorError("OVERLOADED", { what: "prompts that are kept for other workers" });
  };
  return {
    get load() {
      return agent.load;
    },
    prefill(request, room) {
      checkRoom();
      return new PrefillLeg(agent, request, { room, contextTokens });
    },
    compute(request) {
      checkRoom();
      return new PromptLeg(agent, request);
    },
    goOn: (request, about) => new ContinuedLeg(deps, request, about),
    release(sessionId) {
      const before = agent.load.openSessions;
      agent.release([sessionId]);
      return agent.load.openSessions < before;
    },
  };
}
