import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { EngineError } from "#gen/openengine/v1/error_pb";
import type {
  GenerateRequestSchema,
  GenerateResponse,
  GenerationFinished,
  TokenInfo,
  Usage,
} from "#gen/openengine/v1/generation_pb";
import { Control, Inference } from "#gen/openengine/v1/openengine_pb";
import { assert, type StatorError } from "#lib/base/errors";
import { type Client, createClient } from "#lib/rpc/client";
import type { Transport } from "#lib/rpc/transport";

/** An implementation of openengine.v1 under test. */
export interface OpenEngineRig {
  /** A way to the engine, which is otherwise idle. */
  open(): Promise<{ readonly transport: Transport; close(): Promise<void> }>;
  /** A prompt whose greedy answer does not hang by a hair and has eight tokens at least. */
  readonly prompt: string;
  /** A prompt with many likely answers. */
  readonly storyPrompt: string;
  /** A prompt of many cache blocks. */
  readonly longPrompt: string;
  /** Absolute path of an adapter that loads; absent skips what needs one. */
  readonly adapterPath?: string;
}

/** A request without its name. */
export type Ask = Omit<MessageInitShape<typeof GenerateRequestSchema>, "$typeName" | "requestId">;

/** One sequence of an answer. */
export interface OutputSeen {
  readonly tokens: TokenInfo[];
  text: string;
  /** TokenOutput messages. */
  deltas: number;
  finished: GenerationFinished | undefined;
}

/** Everything that came of one call. */
export interface Seen {
  readonly requestId: string;
  readonly messages: GenerateResponse[];
  readonly outputs: OutputSeen[];
  usage: Usage | undefined;
  error: EngineError | undefined;
  /** gRPC code of the status; 0 for OK. */
  readonly code: number;
}

/** A caller of one engine that holds every answer to the grammar of the contract. */
export class OpenEngineCaller {
  readonly control: Client<typeof Control>;
  readonly #transport: Transport;
  #next = 0;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.control = createClient(Control, transport);
  }

  /** A name that no request of this test has. */
  name(): string {
    return `conform-${process.pid}-${performance.now().toString(36)}-${++this.#next}`;
  }

  /** Runs one request to its end. */
  async ask(ask: Ask, options: CallInit = {}): Promise<Seen> {
    return this.start(ask, options).done;
  }

  /** Starts a request: `begun` resolves with its first message or its end, `done` when it is over. */
  start(ask: Ask, { requestId = this.name(), metadata, sequences = 1 }: CallInit = {}) {
    const abort = new AbortController();
    const channel = this.#transport.open(Inference.method.generate, { signal: abort.signal, metadata });
    const begun = Promise.withResolvers<void>();
    const done = Promise.withResolvers<Seen>();
    const messages: GenerateResponse[] = [];
    channel.receive({
      onMessage(message) {
        messages.push(message);
        begun.resolve();
      },
      onEnd(error) {
        begun.resolve();
        try {
          done.resolve(readAnswer(messages, { requestId, sequences, error }));
        } catch (caught) {
          done.reject(caught);
        }
      },
    });
    channel.send(create(Inference.method.generate.input, { ...ask, requestId }));
    channel.end();
    return { requestId, begun: begun.promise, done: done.promise, cancel: () => abort.abort() };
  }
}

/** How a request is called. */
export interface CallInit {
  readonly requestId?: string;
  readonly metadata?: Record<string, string>;
  /** Sequences that the request asks for. */
  readonly sequences?: number;
}

/**
 * Reads a whole answer and holds it to the contract: deltas with an explicit index, one end per output and nothing after
 * it, usage on the last message alone, and of a failure either a status without any message or one error and OK.
 */
function readAnswer(
  messages: readonly GenerateResponse[],
  about: { requestId: string; sequences: number; error: StatorError | undefined },
): Seen {
  const { requestId, sequences, error } = about;
  const outputs = Array.from(
    { length: sequences },
    (): OutputSeen => ({ tokens: [], text: "", deltas: 0, finished: undefined }),
  );
  const seen: Seen = {
    requestId,
    messages: [...messages],
    outputs,
    usage: undefined,
    error: undefined,
    code: error?.row.grpc ?? 0,
  };
  for (const [at, message] of messages.entries()) {
    assert(message.requestId === requestId, "every message names its request");
    assert(!seen.error, "nothing follows an error");
    assert(message.usage === undefined || at === messages.length - 1, "usage comes with the last message alone");
    seen.usage = message.usage;
    readEvent(message, seen);
  }
  if (error || seen.error) return seen;
  assert(
    outputs.every(({ finished }) => finished),
    "a call that ends well has an end for each output",
  );
  const generated = outputs.reduce((sum, { tokens }) => sum + tokens.length, 0);
  assert(seen.usage, "a call that ends well reports usage");
  assert(seen.usage.completionTokens === generated, "usage counts the tokens that were given");
  assert(seen.usage.totalTokens === seen.usage.promptTokens + generated, "the total is the sum");
  return seen;
}

function readEvent({ event }: GenerateResponse, seen: Seen): void {
  if (event.case === "error") {
    seen.error = event.value;
    assert(event.value.code !== 0 && event.value.message !== "", "an error says what and why");
    return;
  }
  if (event.case !== "token" && event.case !== "finished") return;
  assert(event.value.outputIndex !== undefined, "an index is explicit, also when it is 0");
  const output = seen.outputs[event.value.outputIndex];
  assert(output, "an index is below the number of sequences");
  assert(!output.finished, "an output that ended says nothing more");
  if (event.case === "finished") {
    output.finished = event.value;
    assert(event.value.reason !== 0, "an end has a reason");
    return;
  }
  output.deltas++;
  output.tokens.push(...event.value.tokens);
  output.text += event.value.text;
}

/** gRPC code of a rejected call; 0 when it did not fail. */
export async function codeOf(call: Promise<unknown>): Promise<number> {
  try {
    await call;
  } catch (error) {
    return (error as StatorError).row.grpc;
  }
  return 0;
}
