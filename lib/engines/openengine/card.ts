import { CandidateTokenSelectionMode, type LogprobCapabilities, type ModelInfo } from "#gen/openengine/v1/model_pb";
import { EngineRole, type ServerInfo } from "#gen/openengine/v1/server_pb";
import { StatorError } from "#lib/base/errors";
import { ANSWER_RANGES, type DefaultSampling } from "#lib/base/sampling";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import type { Capability, EngineArtifact, EngineCapabilities, EngineCard, EngineFact } from "../engine.ts";
import { countOf } from "../facts.ts";
import type { AskTarget } from "./ask.ts";

/** Revision of openengine.v1 that this adapter speaks. */
const REVISION = 1;

/** What an engine says of itself when it is asked. */
export interface EngineAccount {
  /** As it is deployed. */
  readonly server: ServerInfo;
  /** Its model. */
  readonly model: ModelInfo;
}

/** What others go by who were told of the model before anybody asked the engine, such as by a card in discovery. */
export interface ToldModel {
  /** What requests bring and answers are made of. */
  readonly input: EngineCard["input"];
  /** Longest prompt and answer together, in tokens; undefined when nobody said it. */
  readonly contextTokens: number | undefined;
  /** By what the events of its cache are read; undefined: nobody reads them. */
  readonly blocks: { readonly blockTokens: number; readonly hashScheme: string } | undefined;
}

/** What is known of an engine beside what it says. */
export interface KnownHere {
  /** host:port, for sentences. */
  readonly address: string;
  /** Name in the API; undefined takes the engine's own. */
  readonly name: string | undefined;
  /** undefined: nobody has been told anything of it. */
  readonly told: ToldModel | undefined;
  /** Tokenizer and template of the model, where a file of it is here: requests go there as token ids then, else as text. */
  readonly artifacts: readonly EngineArtifact[];
  /** For requests that name no value. */
  readonly defaultSampling: DefaultSampling;
}

/** Whether requests go to it as token ids. */
function takesTokens({ told, artifacts }: KnownHere): boolean {
  return told ? told.input === "tokens" : artifacts.length > 0;
}

/** Refuses an engine that this adapter cannot stand in front of, or that is not what others were told, with CONTRACT_MISMATCH. */
export function checkAccount({ server, model }: EngineAccount, known: KnownHere): void {
  const { address, told } = known;
  const refuse = (detail: string): never => {
    throw new StatorError("CONTRACT_MISMATCH", { what: `The engine at ${address}`, detail });
  };
  if (server.schemaRevision < REVISION) refuse(`its revision ${server.schemaRevision} of openengine.v1 is none`);
  if (server.minimumClientRevision > REVISION) {
    refuse(`it takes callers of revision ${server.minimumClientRevision} of openengine.v1 on, and this is ${REVISION}`);
  }
  const { engineRole: role } = server;
  if (role === EngineRole.PREFILL) refuse("it computes prompts alone, and whole answers are asked for");
  if (role === EngineRole.DECODE) refuse("it goes on from prompts of others, and whole answers are asked for");
  const takesIds = takesTokens(known);
  if (takesIds && model.supportsTokenIdsInput === false) {
    refuse(`it takes text alone: ${told ? "its model card must say TEXT" : "leave --model out"}`);
  }
  if (!takesIds && model.supportsTextInput === false) {
    const card = "its model card must say TOKENS, and name a tokenizer";
    refuse(
      `it takes token ids alone: ${told ? card : "give --model the GGUF file of its model, whose tokenizer is read"}`,
    );
  }
  const contradiction = told && contradictionOf({ server, model }, told);
  if (contradiction !== undefined) refuse(contradiction);
}

/** Where an engine is not what its model card says, in words. What only one of them says contradicts nothing. */
function contradictionOf({ server, model }: EngineAccount, { contextTokens, blocks }: ToldModel): string | undefined {
  const most = sizeOf(model.maxContextLength);
  if (most !== undefined && contextTokens !== undefined && contextTokens > most) {
    return `its model card says a context of ${contextTokens} tokens, and it takes ${most}`;
  }
  if (!blocks) return undefined;
  const blockTokens = sizeOf(server.capacity?.kvBlockSize);
  if (blockTokens !== undefined && blockTokens !== blocks.blockTokens) {
    return `its model card says blocks of ${blocks.blockTokens} tokens, and it has blocks of ${blockTokens}`;
  }
  if (blocks.hashScheme === HASH_SCHEME) return undefined;
  const own = blocks.hashScheme || "nothing";
  return `its model card names blocks by ${own}, and callers of openengine.v1 name them by ${HASH_SCHEME}`;
}

/** The card of an engine as it said it is. */
export function engineCard({ server, model }: EngineAccount, known: KnownHere): EngineCard {
  const { address, artifacts, defaultSampling, told } = known;
  const takesIds = takesTokens(known);
  const isFollowed = takesIds && tellsBlocks(server) && (!told || told.blocks !== undefined);
  const { kvBlockSize, totalKvBlocks, maxRunningRequests } = server.capacity ?? {};
  const blockTokens = sizeOf(kvBlockSize);
  const contextTokens = sizeOf(model.maxContextLength);
  const totalBlocks = sizeOf(totalKvBlocks);
  const facts: EngineFact[] = [
    { what: "engine", value: server.engineName || "unnamed", by: `openengine.v1 at ${address}` },
    ...(contextTokens === undefined ? [] : [{ what: "context", value: countOf(contextTokens, "tokens") }]),
    ...(totalBlocks === undefined || blockTokens === undefined
      ? []
      : [{ what: "blocks", value: countOf(totalBlocks, `of ${blockTokens} tokens`) }]),
  ];
  return {
    engine: "openengine",
    software: { name: server.engineName, version: server.engineVersion },
    model: known.name ?? (model.servedModelName || model.modelId),
    contextTokens,
    blockTokens,
    // The contract does not say that less than a block is reused, nor more at a time.
    reuseTokens: blockTokens,
    totalBlocks,
    maxRunningRequests: sizeOf(maxRunningRequests),
    maxWaitingRequests: undefined,
    // Of its blocks the tokens are told, and the names are made here.
    hashScheme: isFollowed ? HASH_SCHEME : "",
    quantization: "",
    modelDigest: new Uint8Array(0),
    input: takesIds ? "tokens" : "text",
    capabilities: capabilitiesOf(model, takesIds),
    deterministic: "no",
    defaultSampling,
    artifacts,
    layout: undefined,
    times: undefined,
    facts,
  };
}

/** Whom requests are printed for. */
export function askTarget({ server, model }: EngineAccount): AskTarget {
  return {
    model: model.servedModelName,
    goesOn: server.engineName.startsWith("stator-"),
    ignoresSalt: model.generation?.supportsCacheSalt === false,
  };
}

/** Whether events of an engine's cache can be followed: it has blocks of one size, in one replica. */
function tellsBlocks({ capacity, parallelism }: ServerInfo): boolean {
  return sizeOf(capacity?.kvBlockSize) !== undefined && (parallelism?.dataParallelSize ?? 1) === 1;
}

/** Whether an engine that came back is as it was: requests that were checked for the one go to the other. */
export function sameEngine(one: EngineCard, other: EngineCard): boolean {
  const plain = ({ artifacts: _, facts: __, ...rest }: EngineCard) => JSON.stringify(rest);
  return plain(one) === plain(other);
}

function capabilitiesOf(model: ModelInfo, takesIds: boolean): EngineCapabilities {
  const { outputLogprobs, promptLogprobs, guidedDecoding } = model.generation ?? {};
  const missing: Record<string, string> = {
    embed: "openengine.v1 has no embeddings",
    kvBlocks: "the engine keeps its blocks to itself",
    deterministic: "the engine does not say what it promises",
  };
  const of = (name: string, told: boolean | undefined, why: string): Capability => {
    if (told === false) missing[name] = why;
    return told ?? "unknown";
  };
  const scored = (about: LogprobCapabilities | undefined) =>
    takesIds ? about?.supported && about.candidateSelectionModes.includes(CandidateTokenSelectionMode.TOP_N) : false;
  const why = takesIds ? "the engine does not tell them" : "the engine is asked in text, without its tokenizer";
  const { most } = ANSWER_RANGES.top_logprobs;
  return {
    generate: true,
    embed: false,
    grammar: of("grammar", guidedDecoding?.supported, "the engine holds answers to no form"),
    logprobs: of("logprobs", scored(outputLogprobs), why),
    promptLogprobs: of("promptLogprobs", scored(promptLogprobs), why),
    lora: model.supportsLora === true,
    kvBlocks: false,
    mock: false,
    embeddingSize: 0,
    maxTopLogprobs: outputLogprobs?.maxTopN === undefined ? undefined : Math.min(outputLogprobs.maxTopN, most),
    missing: model.supportsLora === true ? missing : { ...missing, lora: "the engine takes none" },
  };
}

/** A size as a number; 0 says nothing that could be reckoned with. */
function sizeOf(size: number | bigint | undefined): number | undefined {
  if (size === undefined || BigInt(size) === 0n) return undefined;
  const number = Number(size);
  return Number.isSafeInteger(number) ? number : undefined;
}
