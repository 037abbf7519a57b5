import { RequestKind, type Submit } from "#gen/stator/worker/v1/link_pb";
import { readU32 } from "#lib/base/bytes";
import { assert, StatorError } from "#lib/base/errors";
import { requireAbility } from "#lib/engines/ability";
import type { Engine, EngineRequest } from "#lib/engines/engine";
import type { HandOff } from "./handoff/hand-off.ts";
import type { Leg } from "./handoff/leg.ts";
import { embedRequest, generateRequest, type ModelNames } from "./translate.ts";

const NO_TOKENS = new Uint32Array(0);

const invalid = (detail: string): never => {
  throw new StatorError("INVALID_ARGUMENT", { detail });
};

/** Reads a submit: what it returns builds the request with its id. Throws what is wrong with it before anything ran. */
export function readSubmit(submit: Submit, engine: Engine, names: ModelNames): (id: number) => EngineRequest {
  if ((submit.rank ?? 0) !== 0) invalid("rank: this worker has rank 0 only");
  const { kind } = submit;
  if (kind === RequestKind.GENERATE || kind === RequestKind.PREFILL) {
    const { tokens, text } = promptOf(submit, engine);
    return (id) => ({ ...generateRequest(id, submit, tokens, names), promptText: text });
  }
  if (kind !== RequestKind.EMBED) invalid(`kind: ${kind} is not known to this worker`);
  const { tokens, text } = promptOf(submit, engine);
  return (id) => ({ ...embedRequest(id, submit, tokens, names), promptText: text });
}

/** The leg that a submit is; undefined when it asks for all of an answer, from its prompt on. Throws as `readSubmit`, and OVERLOADED. */
export function readLeg(
  submit: Submit,
  make: (id: number) => EngineRequest,
  handOff: HandOff | undefined,
): Leg | undefined {
  const { kind, session, room, requestId, traceparent } = submit;
  const isPrefill = kind === RequestKind.PREFILL;
  if (!isPrefill && !session && !room) return undefined;
  if (session && (room || isPrefill)) invalid("session: not of a prefill, and not with a room");
  const request = make(0);
  if (request.kind !== "generate") return invalid("session and room are of answers");
  assert(handOff, "only a worker with these features is asked for legs");
  if (isPrefill) return handOff.prefill(request, room?.number);
  const from = session ? { session } : { room: room! };
  return handOff.goOn(request, { requestId, traceparent: traceparent || undefined, from });
}

/** The prompt in the form that the engine takes: text becomes token ids where it has a tokenizer, and never the reverse. */
function promptOf(submit: Submit, engine: Engine): { tokens: Uint32Array; text: string | undefined } {
  const hasText = submit.promptText !== "";
  if (hasText === submit.promptTokenIds.byteLength > 0) {
    invalid("Expected exactly one of prompt_token_ids and prompt_text");
  }
  if (engine.card.input === "text") {
    if (!hasText) invalid("Expected prompt_text: its engine takes text");
    return { tokens: NO_TOKENS, text: submit.promptText };
  }
  const tokens = hasText
    ? requireAbility(engine, "text").tokenize(submit.promptText)
    : readU32(submit.promptTokenIds, "prompt_token_ids").slice();
  return { tokens, text: undefined };
}
