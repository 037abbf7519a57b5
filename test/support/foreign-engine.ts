import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type GenerateRequest, type GenerateResponse, GenerateResponseSchema } from "#gen/openengine/v1/generation_pb";
import type { SubscribeKvEventsRequest, SubscribeKvEventsResponseSchema } from "#gen/openengine/v1/kv_pb";
import { AbortStatus, HealthState } from "#gen/openengine/v1/lifecycle_pb";
import type { LoraAdapter } from "#gen/openengine/v1/lora_pb";
import type { ModelInfoSchema } from "#gen/openengine/v1/model_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import type { LoadInfoSchema, ServerInfoSchema } from "#gen/openengine/v1/server_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import { createService, type ServedService } from "#lib/rpc/service";
import type { DuplexChannel } from "#lib/rpc/stream";

type Event = NonNullable<MessageInitShape<typeof GenerateResponseSchema>["event"]>;
type Usage = MessageInitShape<typeof GenerateResponseSchema>["usage"];
type KvResponse = MessageInitShape<typeof SubscribeKvEventsResponseSchema>;

/** A call of Generate, as the engine holds it. */
export interface ForeignCall {
  readonly request: GenerateRequest;
  readonly priority: string | undefined;
  readonly channel: DuplexChannel<GenerateResponse, GenerateRequest>;
  /** The caller cut its stream. */
  isReset: boolean;
  send(event: Event, usage?: Usage): void;
}

/** An engine that speaks openengine.v1 and says what a test has it say. */
export class ForeignEngine {
  server: MessageInitShape<typeof ServerInfoSchema> = {
    ...{ engineName: "scripted", engineVersion: "9", instanceId: "first", schemaRevision: 1, minimumClientRevision: 1 },
    capacity: { kvBlockSize: 2, totalKvBlocks: 64n, maxRunningRequests: 8n },
  };
  model: MessageInitShape<typeof ModelInfoSchema> = { servedModelName: "far", maxContextLength: 64 };
  load: MessageInitShape<typeof LoadInfoSchema> | undefined = { runningRequests: 0, queuedRequests: 0 };
  /** undefined: it knows no health. */
  health: HealthState | undefined = HealthState.READY;
  /** Set to refuse all calls. */
  away: StatorError | undefined;
  /** What it says to an abort; calls by their name are in `calls`. */
  onAbort: (requestId: string) => AbortStatus = () => AbortStatus.ABORTED;
  /** Makes the events of its cache; undefined: it tells of none. */
  onSubscribe: ((request: SubscribeKvEventsRequest, signal: AbortSignal) => AsyncIterable<KvResponse>) | undefined;
  readonly adapters: LoraAdapter[] = [];
  readonly calls: ForeignCall[] = [];
  readonly aborts: string[] = [];

  readonly services: readonly ServedService[] = [
    createService(
      Inference,
      {
        generate: {
          open: (channel, call) => {
            channel.receive({
              onMessage: (request) => {
                const send = (event: Event, usage?: Usage) =>
                  void channel.send(create(GenerateResponseSchema, { requestId: request.requestId, event, usage }));
                const [priority] = call.metadata.all("openengine-priority");
                const held: ForeignCall = { request, priority, channel, isReset: false, send };
                call.signal.addEventListener("abort", () => {
                  held.isReset = true;
                });
                if (this.away) channel.end(this.away);
                else this.calls.push(held);
              },
              onEnd() {},
            });
          },
        },
      },
      { access: Access.PEER },
    ),
    createService(
      Control,
      {
        getServerInfo: () => this.#here(this.server),
        getModelInfo: () => this.#here(this.model),
        getLoad: () => this.#here(this.load ?? absent("GetLoad")),
        health: () => this.#here(this.health === undefined ? absent("Health") : { state: this.health }),
        abort: ({ target }) => {
          const requestId = target.case === "requestId" ? target.value : "";
          this.aborts.push(requestId);
          return this.#here({ status: this.onAbort(requestId) });
        },
        loadLora: ({ adapter }) => {
          this.adapters.push(adapter!);
          return { adapter };
        },
        unloadLora: ({ loraName }) => {
          const at = this.adapters.findIndex((each) => each.loraName === loraName);
          return { adapter: this.adapters.splice(at, 1)[0] };
        },
        listLoras: () => ({ adapters: this.adapters }),
        getKvEventSources: () => ({ sources: [] }),
        subscribeKvEvents: (request, { signal }) => this.onSubscribe?.(request, signal) ?? absent("SubscribeKvEvents"),
      },
      { access: Access.PEER },
    ),
  ];

  #here<Answer>(answer: Answer): Answer {
    if (this.away) throw this.away;
    return answer;
  }
}

function absent(feature: string): never {
  throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail: "it was left out" });
}
