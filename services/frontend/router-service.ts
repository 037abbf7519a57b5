import { create } from "@bufbuild/protobuf";
import { RankViewSchema, type RankView as WireRank } from "#gen/stator/frontend/v1/frontend_pb";
import { type HypotheticalPrompt, RouterService } from "#gen/stator/router/v1/router_pb";
import { readU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { readTaints, SESSION_LENGTH } from "#lib/base/taint";
import type { ModelView } from "#lib/discovery/model-view";
import { messageOf } from "#lib/routing/explain/explanation-message";
import type { RouteAsk } from "#lib/routing/router";
import type { RankView, RuleRouter } from "#lib/routing/rule-router";
import { createService, type ServedService } from "#lib/rpc/service";
import { type CaptureStreamParts, streamCapture } from "./capture-stream.ts";

/** Whose choices are told. All is borrowed. */
export interface RouterServiceParts extends CaptureStreamParts {
  /** Of this frontend. */
  readonly router: Pick<RuleRouter, "explain" | "explainAsk"> & CaptureStreamParts["router"];
  /** Who serves which names. */
  readonly view: Pick<ModelView, "ready">;
}

/** stator.router.v1.RouterService: where requests went and why, for operators. */
export function createRouterService(parts: RouterServiceParts): ServedService {
  const { router, view } = parts;
  return createService(RouterService, {
    explain({ about }) {
      switch (about.case) {
        case "requestId":
          return { explanations: router.explain(about.value).map(messageOf) };
        case "prompt":
          return { explanations: router.explainAsk(readAsk(about.value, view)).map(messageOf) };
        case undefined:
          throw new StatorError("INVALID_ARGUMENT", { detail: "Name a request, or say a prompt" });
      }
    },
    capture: (request, { signal }) => streamCapture(request, signal, parts),
  });
}

/** The ask of a prompt that is not sent. Throws what placing it would throw, and what does not fit. */
function readAsk(prompt: HypotheticalPrompt, view: RouterServiceParts["view"]): RouteAsk {
  const { model, tokenIds, cacheSalt, session, requiredTaints, preferredTaints } = prompt;
  const named = view.ready(model);
  if (tokenIds.byteLength % 4 !== 0) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "prompt.token_ids: expected four bytes for each id" });
  }
  if (session.length > SESSION_LENGTH) {
    throw new StatorError("INVALID_ARGUMENT", { detail: `prompt.session: at most ${SESSION_LENGTH} characters` });
  }
  return {
    requestId: "",
    kind: "generate",
    model,
    adapter: named.parent === undefined ? undefined : named.model,
    prompts: [readU32(tokenIds)],
    texts: [],
    tokenizer: named.tokenizer,
    choices: [0],
    choicesPerPrompt: 1,
    salt: cacheSalt,
    priority: 0,
    deadlineMs: undefined,
    target: undefined,
    weights: undefined,
    session: session || undefined,
    requiredTaints: [...readTaints(requiredTaints)],
    preferredTaints,
    avoid: new Set(),
    isNew: false,
  };
}

/** One rank for a list of workers. */
export function printRank({ knowledge, heldBlocks, timedPasses, ...rank }: RankView): WireRank {
  return create(RankViewSchema, {
    ...rank,
    knowledge: knowledge.state,
    indexedBlocks: BigInt(heldBlocks),
    lagMs: knowledge.lagMs,
    behindEvents: BigInt(knowledge.behind),
    timedPasses: BigInt(timedPasses),
  });
}
