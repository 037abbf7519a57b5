import { create } from "@bufbuild/protobuf";
import { type KvSession, KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { copyU64, readU32, viewBytes, writeU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { KvLayout } from "#lib/kv/layout";
import { printLayout } from "#lib/kv/transfer-scope";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { TokenChain } from "#lib/tokens/token-chain";
import type { TransferEngine, TransferPrompt } from "./agent.ts";
import { readLayout } from "./fitting.ts";

/** How blocks of our own workers move, as sessions name it. */
export const OWN_TRANSFER = "stator";

/** What an own session says beside its tokens. */
export interface SessionPlace {
  /** Its name; empty where nothing is kept. */
  readonly sessionId: string;
  /** host:port of the worker that keeps it. */
  readonly address: string;
  /** The worker. */
  readonly instanceId: bigint;
  /** Of the worker. */
  readonly incarnation: bigint;
  /** How its blocks lie. */
  readonly layout: KvLayout;
  /** Sequence hashes of its blocks, in the worker's size of blocks. */
  readonly hashes: BigUint64Array;
}

/** Serves one caller after the other; making one takes longer than hashing a prompt. */
const HASHER = new TokenHasher();

/** Sequence hashes of the complete blocks of a prompt. */
export function hashesOf(prompt: TransferPrompt, blockTokens: number): BigUint64Array {
  const seed = hashSeed(prompt.cacheSalt, prompt.adapter);
  return new TokenChain(HASHER, prompt.tokens, { blockTokens, seed }).hashes();
}

/** What is told of a sequence that is kept. */
export interface SessionFacts {
  /** Empty where nothing is kept. */
  readonly sessionId: string;
  /** All its tokens. */
  readonly tokens: Uint32Array;
  /** Of the blocks that are kept. */
  readonly hashes: BigUint64Array;
  /** What was drawn behind it; nothing while it is computed. */
  readonly firstTokens: Uint32Array;
  /** Of this worker. */
  readonly leaseMs: number;
}

/** The session of a sequence that this worker keeps. */
export function printSession(engine: TransferEngine, facts: SessionFacts): KvSession {
  const { layout, modelDigest, hashScheme } = engine;
  const { instanceId, incarnation, address } = engine.identity();
  const { host, port } = splitAddress(address);
  return create(KvSessionSchema, {
    sessionId: facts.sessionId,
    transfer: OWN_TRANSFER,
    endpoints: [{ host, port, protocol: "grpc" }],
    ...{ instanceId, incarnation, modelDigest, hashScheme },
    layout: printLayout(layout),
    sequenceHashes: viewBytes(facts.hashes).slice(),
    tailTokenIds: writeU32(facts.tokens.slice(facts.hashes.length * layout.blockTokens)),
    firstTokenIds: writeU32(facts.firstTokens.slice()),
    leaseMs: facts.leaseMs,
  });
}

/** The tokens that a session's prefill drew. Throws INVALID_ARGUMENT on a torn length. */
export function firstTokensOf({ firstTokenIds }: { readonly firstTokenIds: Uint8Array }): Uint32Array {
  return readU32(firstTokenIds, "first_token_ids").slice();
}

/** What a session of our own workers says. Throws UNSUPPORTED_FEATURE for another one, INVALID_ARGUMENT for one that says nothing. */
export function readSession(session: KvSession): SessionPlace {
  if (session.transfer !== OWN_TRANSFER) {
    const detail = "only sessions of our own workers can be fetched";
    throw new StatorError("UNSUPPORTED_FEATURE", { feature: `The transfer ${session.transfer}`, detail });
  }
  const [endpoint] = session.endpoints;
  if (!endpoint) throw new StatorError("INVALID_ARGUMENT", { detail: "endpoints: nothing was said" });
  return {
    sessionId: session.sessionId,
    address: joinAddress(endpoint.host, endpoint.port),
    instanceId: session.instanceId,
    incarnation: session.incarnation,
    layout: readLayout(session.layout),
    hashes: copyU64(session.sequenceHashes, "sequence_hashes"),
  };
}

/** host:port as its parts; a v6 address without its brackets. */
export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(":");
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(address.slice(at + 1)) };
}

/** The parts as one text; the inverse of `splitAddress`. */
export function joinAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
