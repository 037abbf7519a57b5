import type { KvSessionRef } from "#gen/openengine/v1/kv_pb";
import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import { StatorError } from "#lib/base/errors";
import type { LinkAsk } from "#lib/serving/ask";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { TokenChain } from "#lib/tokens/token-chain";
import { readSessionRef } from "#lib/transfer/session-ref";
import type { HandOff } from "#lib/worker/handoff/hand-off";

/** The one transport whose sessions this worker fetches. */
export const TRANSFER_BACKEND = "stator";

/** Who would go on from a session. */
export interface SessionReader {
  /** Undefined where the engine's blocks cannot move. */
  readonly handOff: HandOff | undefined;
  /** It computes prompts alone. */
  readonly isPrefill: boolean;
}

/**
 * The session that a request goes on from. Throws UNSUPPORTED_FEATURE where it cannot be fetched, INVALID_ARGUMENT where it
 * is not one of this prompt.
 */
export function sessionOf(ref: KvSessionRef, ask: LinkAsk, { handOff, isPrefill }: SessionReader): KvSession {
  if (!handOff) throw refusal("the blocks of this engine cannot move");
  if (isPrefill) throw refusal("this worker computes prompts alone");
  if (ref.transferBackend !== TRANSFER_BACKEND) {
    throw refusal(`blocks are fetched by ${TRANSFER_BACKEND} and not by ${ref.transferBackend || "nothing"}`);
  }
  const { input, cacheSalt, adapter } = ask;
  const tokens = input.kind === "tokens" ? input.prompts[0]! : new Uint32Array(0);
  const seed = hashSeed(cacheSalt, adapter);
  return readSessionRef(ref, (blockTokens) =>
    new TokenChain(new TokenHasher(), tokens, { blockTokens, seed }).hashes(0),
  );
}

function refusal(detail: string): StatorError {
  return new StatorError("UNSUPPORTED_FEATURE", { feature: "kv.session", detail });
}
