import type { KvSession } from "#gen/stator/worker/v1/link_pb";
import type { EngineFinish } from "#lib/engines/engine";
import type { TransferReportInit } from "#lib/transfer/agent";
import type { BoardRequest } from "../board-sink.ts";

/** What a leg's Finish says beside what the engine does. */
export interface LegEnd {
  /** Of a prefill whose answer may go on. */
  readonly session?: KvSession;
  /** Of a leg that goes on from blocks of elsewhere. */
  readonly transfer?: TransferReportInit;
}

/** One part of an answer that is computed in parts: how the board is asked for it, and what its sink passes on. */
export interface Leg {
  /** What it does of its answer. */
  readonly part: "prefill" | "decode";
  /** For the board. */
  readonly make: BoardRequest["make"];
  /** The board did not take it. */
  onRefused(error: Error): void;
  /** Tokens that were drawn; borrowed for the call. */
  onTokens(tokens: Uint32Array): void;
  /** Its end; once. */
  onFinish(finish: EngineFinish): LegEnd;
}

/** All tokens of a request whose rows come before those of its next token. */
export function joinTokens(prompt: Uint32Array, generated: Uint32Array): Uint32Array {
  if (generated.length === 0) return prompt;
  const all = new Uint32Array(prompt.length + generated.length);
  all.set(prompt);
  all.set(generated, prompt.length);
  return all;
}
