import type { RouteAsk } from "#lib/routing/router";
import type { Choice, Life } from "./life.ts";

const NO_TOKENS = new Uint32Array(0);
const NO_TEXTS: readonly string[] = [];

/**
 * What a router is asked for the choices of a request that are nowhere: those that the same weights may have, and that are
 * as far. First those whose prompt somebody keeps, since that is not for ever.
 */
export function routeAsk(life: Life): RouteAsk {
  const { request } = life;
  const { input } = request;
  const nowhere = life.choices.filter(({ phase }) => phase === "unplaced");
  const first = nowhere.find(({ kept }) => kept) ?? nowhere[0];
  const weights = first && boundTo(first);
  const prefilledBy = first?.kept?.worker;
  return {
    asker: life,
    requestId: request.requestId,
    kind: request.kind,
    ...(prefilledBy !== undefined && { stage: "hand-off", prefilledBy }),
    model: request.model,
    adapter: request.adapter,
    prompts: input.kind === "tokens" ? input.prompts : input.texts.map(() => NO_TOKENS),
    texts: input.kind === "tokens" ? NO_TEXTS : input.texts,
    tokenizer: input.kind === "tokens" ? input.tokenizer : "",
    choices: nowhere
      .filter((choice) => boundTo(choice) === weights && choice.kept?.worker === prefilledBy)
      .map(({ index }) => index),
    choicesPerPrompt: request.choicesPerPrompt,
    salt: request.cacheSalt,
    priority: request.priority,
    deadlineMs: request.deadlineMs,
    target: request.target,
    weights,
    ...request.wishes,
    avoid: life.avoid,
    isNew: life.attempt === 0 && life.searchingSinceMs === undefined,
  };
}

/** The weights that made its tokens; undefined for a choice without one. */
function boundTo({ generated, weights }: Choice): string | undefined {
  return generated.count > 0 ? weights : undefined;
}
