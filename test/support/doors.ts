import { FinishReason } from "#gen/openengine/v1/generation_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import { SeededChance } from "#lib/base/chance";
import { ModelView } from "#lib/discovery/model-view";
import { createDispatcher, type FrontendDispatcher } from "#lib/dispatch/dispatcher";
import { DISPATCH_INSTRUMENTS } from "#lib/dispatch/instruments";
import type { EngineRequest } from "#lib/engines/engine";
import { silentLog } from "#lib/host/log";
import { createMetrics, noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createPlainRouter } from "#lib/routing/plain-router";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { pieceTable } from "#lib/text/pieces";
import { tokenBits } from "#lib/text/special";
import { checkVocabulary } from "#lib/text/vocabulary";
import type { FrontendLimits } from "#services/frontend/limits";
import { askKserve, KSERVE_DOORS, type KserveDoor, refusedByKserve } from "./kserve-door.ts";
import { createByteText } from "./rehearsal/byte-text.ts";
import { type InferenceRehearsal, openInference } from "./rehearsal/inference.ts";
import { RehearsalWatch } from "./rehearsal/open.ts";
import { type Script, ScriptedEngine } from "./scripted-engine.ts";
import { type Listened, settle, WorkerRig } from "./worker-rig.ts";

/** What a test asks for, in the words of every door. */
export interface DoorAsk {
  readonly stop?: readonly string[];
  readonly includeStop?: boolean;
  readonly minTokens?: number;
  readonly maxTokens?: number;
  readonly logprobs?: boolean;
  readonly choices?: number;
  /** How it is drawn; unless given, as is usual with the model. */
  readonly draw?: {
    readonly temperature: number;
    readonly topP: number;
    readonly topK: number;
    readonly minP: number;
    readonly penalty: number;
    readonly seed: bigint;
  };
  readonly salt?: string;
  readonly stopToken?: number;
  readonly ignoreEos?: boolean;
  /** The answer is an object. */
  readonly json?: boolean;
  /** JSON schema of the answer. */
  readonly schema?: string;
}

/** What came of it, in the words of none. */
export interface DoorAnswer {
  /** Text of each choice. */
  readonly texts: string[];
  /** stop or length; undefined when a choice was told no end. */
  readonly finishes: (string | undefined)[];
  /** Tokens of the answer; undefined when nobody said. */
  readonly tokens: number | undefined;
  /** Code of the error. */
  readonly error: string | undefined;
}

/** A chunk of OpenAI's streams. */
export interface DoorChunk {
  readonly choices: readonly {
    readonly index: number;
    readonly delta?: { readonly role?: string; readonly content?: string };
    readonly text?: string;
    readonly logprobs?: { readonly content?: readonly object[]; readonly tokens?: readonly string[] } | null;
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
  readonly error?: { readonly code: string };
}

/** The doors, by the way in which each answers. */
export const DOORS = [
  ...(["chat", "chat stream", "completions", "completions stream", "openengine.v1"] as const),
  ...KSERVE_DOORS,
] as const;
/** One of {@link DOORS}. */
export type Door = (typeof DOORS)[number];

/** One worker with a scripted engine, its openengine.v1, and a frontend with the real dispatcher before it. */
export class Doors {
  readonly engine = new ScriptedEngine();
  readonly #rig = new WorkerRig();
  #dispatcher: FrontendDispatcher | undefined;
  #inference: InferenceRehearsal | undefined;
  #asked = 0;

  static async open(limits: Partial<FrontendLimits> = {}): Promise<Doors> {
    const doors = new Doors();
    await doors.#start(limits);
    return doors;
  }

  get ledger() {
    return this.#dispatcher!.ledger;
  }

  /** Asks at a door and waits for the whole answer. */
  async ask(door: Door, ask: DoorAsk, script: Script): Promise<DoorAnswer> {
    this.engine.script = script;
    this.engine.said.length = 0;
    this.engine.cancels.length = 0;
    const answer = await this.#answer(door, ask, script);
    while (this.engine.open.size > 0) await settle();
    return answer;
  }

  /** What the engine was asked at a door, one request for each choice. */
  async asked(door: Door, ask: DoorAsk): Promise<readonly EngineRequest[]> {
    const requests: EngineRequest[] = [];
    this.engine.onSubmit = (request) => void requests.push(request);
    await this.ask(door, ask, { tokens: [], tokensPerStep: 1, stepsPerTurn: 1 });
    this.engine.onSubmit = undefined;
    return requests;
  }

  /** How a door refuses a request of which nothing ran: its status and its words. */
  async refusal(door: Door, ask: DoorAsk): Promise<readonly [string | number | undefined, string | undefined]> {
    if (door === "openengine.v1") {
      const { status, words } = await this.#generate(ask);
      return [status, words];
    }
    if (isKserve(door)) return refusedByKserve(this.#inference!, door, fieldsOf(ask));
    const response = await this.#post(door, ask);
    const { error } = (await response.json()) as { error?: { message: string } };
    return [response.status, error?.message];
  }

  /** The chunks of a streamed answer. */
  async stream(door: Door, ask: DoorAsk & { continuous?: boolean }, script: Script): Promise<DoorChunk[]> {
    this.engine.script = script;
    const response = await this.#post(door, ask);
    const text = await response.text();
    if (response.status !== 200) return [JSON.parse(text) as DoorChunk];
    const events = text.split("\n\n").filter((event) => event !== "" && !event.startsWith(":"));
    if (events.pop() !== "data: [DONE]") throw new Error(`a stream ended with ${text.slice(-100)}`);
    return events.map((event) => JSON.parse(event.slice("data: ".length)) as DoorChunk);
  }

  /** Text and token ids of each delta of openengine.v1. */
  async deltas(ask: DoorAsk, script: Script): Promise<(readonly [string, ...(number | undefined)[]])[]> {
    this.engine.script = script;
    const { messages } = await this.#generate(ask);
    return messages.flatMap(({ event }) => {
      if (event.case !== "token") return [];
      return [[event.value.text, ...event.value.tokens.map(({ tokenId }) => tokenId)] as const];
    });
  }

  async close(): Promise<void> {
    await this.#inference?.close();
    await this.#dispatcher?.close();
    await this.#rig.worker.close();
  }

  async #start(limits: Partial<FrontendLimits>): Promise<void> {
    const rig = this.#rig;
    rig.openEngine = async () => this.engine;
    await rig.start();
    await settle();
    const watch = new RehearsalWatch();
    watch.put(...rig.discovery.versions.at(-1)!);
    const dispatcher = createDispatcher({
      ...{ caller: "frontend/doors", clock: systemClock, chance: new SeededChance(3n) },
      router(locate) {
        const [clock, chance] = [systemClock, new SeededChance(3n)];
        return createPlainRouter({ mode: "round-robin", locate, clock, chance, metrics: noMetrics });
      },
      view: new ModelView({ watch, clock: systemClock }),
      connect: () => ({ channel: rig.transport.open(WorkerLinkService.method.link), close() {} }),
      log: silentLog,
      metrics: createMetrics([DISPATCH_INSTRUMENTS], { processMetrics: false }),
    });
    this.#dispatcher = dispatcher;
    const { content } = this.engine.card.artifacts[0]!;
    const vocabulary = checkVocabulary(content);
    const texts = createPieceTexts(pieceTable(vocabulary, tokenBits(vocabulary)));
    const text = { ...createByteText(), createDecoder: () => new Detokenizer(texts), piece: texts.bytesOf };
    const options = { limits, watch, tokenizer: content, text: () => ({ ...text, vocabularySize: vocabulary.size }) };
    this.#inference = await openInference(dispatcher, options);
    while (dispatcher.routable().length === 0) await settle();
  }

  async #answer(door: Door, ask: DoorAsk, script: Script): Promise<DoorAnswer> {
    if (door === "openengine.v1") return this.#openEngine(ask);
    if (isKserve(door)) return askKserve(this.#inference!, door, fieldsOf(ask));
    if (door.endsWith("stream")) return fold(await this.stream(door, ask, script));
    const body = await (await this.#post(door, ask)).json();
    return foldBody(body as Parameters<typeof foldBody>[0]);
  }

  #post(door: Door, ask: DoorAsk & { continuous?: boolean }): Promise<Response> {
    const isChat = door.startsWith("chat");
    const stream = { include_usage: true, continuous_usage_stats: ask.continuous };
    const body = {
      model: "fake-model",
      ...(isChat ? { messages: [{ role: "user", content: "hi" }] } : { prompt: "hi" }),
      ...(door.endsWith("stream") ? { stream: true, stream_options: stream } : {}),
      ...fieldsOf(ask),
      ...(isChat && ask.logprobs ? { logprobs: true } : {}),
    };
    const path = isChat ? "chat/completions" : "completions";
    return fetch(`${this.#inference!.rehearsal.url}/v1/${path}`, { method: "POST", body: JSON.stringify(body) });
  }

  async #generate(ask: DoorAsk): Promise<Listened> {
    const { stop = [], includeStop, minTokens, maxTokens = 100, logprobs, choices, draw, salt, ignoreEos } = ask;
    const texts = stop.map((value) => ({ condition: { case: "stopText", value } as const }));
    const { stopToken: value } = ask;
    const tokens = value === undefined ? [] : [{ condition: { case: "stopTokenId", value } as const }];
    const conditions = [...texts, ...tokens];
    const penalties = draw && { frequencyPenalty: draw.penalty, presencePenalty: draw.penalty };
    const call = await this.#rig.generate({
      requestId: `r${++this.#asked}`,
      input: { case: "tokenIds", value: { ids: [104, 105] } },
      sampling: { numSequences: choices, ...draw, ...penalties },
      stopping: { maxTokens, minTokens, includeStopInOutput: includeStop, ignoreEos, conditions },
      kv: { cacheSalt: salt },
      guided: guideOf(ask),
      response: { returnOutputLogprobs: logprobs },
    });
    while (call.status === undefined) await settle();
    return call;
  }

  async #openEngine(ask: DoorAsk): Promise<DoorAnswer> {
    const call = await this.#generate(ask);
    const texts: string[] = [];
    const finishes: (string | undefined)[] = [];
    let tokens: number | undefined;
    let error: string | undefined;
    for (const { event, usage } of call.messages) {
      tokens = usage?.completionTokens ?? tokens;
      if (event.case === "token") {
        const { outputIndex = 0, text } = event.value;
        texts[outputIndex] = (texts[outputIndex] ?? "") + text;
      } else if (event.case === "finished") {
        const { outputIndex = 0 } = event.value;
        texts[outputIndex] ??= "";
        finishes[outputIndex] = event.value.reason === FinishReason.LENGTH ? "length" : "stop";
      } else error = event.value && "failed";
    }
    return { texts, finishes, tokens, error };
  }
}

function isKserve(door: Door): door is KserveDoor {
  return KSERVE_DOORS.some((one) => one === door);
}

/** What is asked, as most doors call it. */
function fieldsOf(ask: DoorAsk): object {
  return {
    ...(ask.logprobs ? { logprobs: 0 } : {}),
    stop: ask.stop,
    include_stop_str_in_output: ask.includeStop,
    min_tokens: ask.minTokens,
    max_tokens: ask.maxTokens ?? 100,
    n: ask.choices,
    ...drawFields(ask),
    cache_salt: ask.salt,
    stop_token_ids: ask.stopToken === undefined ? undefined : [ask.stopToken],
    ignore_eos: ask.ignoreEos,
    response_format: formatOf(ask),
  };
}

function formatOf({ json, schema }: DoorAsk): object | undefined {
  if (schema === undefined) return json ? { type: "json_object" } : undefined;
  return { type: "json_schema", json_schema: { name: "s", schema: JSON.parse(schema) as object } };
}

function guideOf({ json, schema }: DoorAsk) {
  if (schema !== undefined) return { guide: { case: "jsonSchema" as const, value: schema } };
  return json ? { guide: { case: "jsonObject" as const, value: {} } } : undefined;
}

function drawFields({ draw }: DoorAsk): object {
  if (!draw) return {};
  const { temperature, topP, topK, minP, penalty, seed } = draw;
  const names = { top_p: topP, top_k: topK, min_p: minP, frequency_penalty: penalty, presence_penalty: penalty };
  return { temperature, ...names, seed: Number(seed) };
}

function fold(chunks: readonly DoorChunk[]): DoorAnswer {
  const texts: string[] = [];
  const finishes: (string | undefined)[] = [];
  let tokens: number | undefined;
  let error: string | undefined;
  for (const chunk of chunks) {
    if (chunk.error) error = "failed";
    tokens = chunk.usage?.completion_tokens ?? tokens;
    for (const { index, delta, text, finish_reason } of chunk.choices ?? []) {
      texts[index] = (texts[index] ?? "") + (delta?.content ?? text ?? "");
      if (finish_reason !== null) finishes[index] = finish_reason;
    }
  }
  return { texts, finishes, tokens, error };
}

function foldBody(body: {
  choices?: { message?: { content: string }; text?: string; finish_reason: string }[];
  usage?: { completion_tokens: number };
  error?: object;
}): DoorAnswer {
  const choices = body.choices ?? [];
  return {
    texts: choices.map(({ message, text }) => message?.content ?? text ?? ""),
    finishes: choices.map(({ finish_reason }) => finish_reason),
    tokens: body.usage?.completion_tokens,
    error: body.error && "failed",
  };
}
