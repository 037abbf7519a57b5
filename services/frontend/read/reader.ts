import type { BinaryOutputs, InferAddress } from "#lib/api/kserve/json-request";
import type { Clock } from "#lib/base/clock";
import type { Log } from "#lib/host/log";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";
import { type Around, type Asked, type DoorReader, NOTHING_AROUND } from "../doors/door.ts";
import type { ModelText, RenderedPrompt, TemplateConversation } from "../text/model-text.ts";
import { CallThread, threadFile } from "../thread/call-thread.ts";
import type { PrintedAnswer } from "./printed-answer.ts";
import { jsonOf, printTensorAnswer, readTensorBody, type TensorRequest } from "./tensor-bodies.ts";
import type { MessagesPlace, ReadOrder } from "./thread.ts";

/** A conversation, and who renders it. */
export interface Conversation {
  /** The prompt. Throws INVALID_TEMPLATE or UNSUPPORTED_FEATURE. */
  render(text: ModelText): RenderedPrompt | Promise<RenderedPrompt>;
}

/** A request that was read, and what becomes of its messages. */
export interface OpenAsk<Form> {
  /** Its messages are for `conversation` to render: they may be elsewhere. */
  readonly asked: Asked<Form>;
  /** Set for a request of messages. */
  readonly conversation: Conversation | undefined;
  /** Forgets it; call it in any case. */
  close(): void;
}

/** Bodies of more bytes are read in a thread; a shorter one costs a few milliseconds at worst. */
const INLINE_BYTES = 65_536;
/** The same for the length of a schema: a kilobyte of it can take a millisecond. */
const INLINE_SCHEMA_UNITS = 8192;
/** Conversations of more messages are rendered in the thread: a message takes 5 µs or more, as the template is. */
const INLINE_MESSAGES = 256;
/** The same for the text of its variables: a kilobyte of numbers can take half a millisecond. */
const INLINE_VARIABLE_UNITS = 8192;

/** Chunks that are smaller on average do not move to the thread one by one; a socket brings up to 64 KiB at a time. */
const LEAST_CHUNK_BYTES = 4096;

/** Ends within the time in which memory is to come back, and longer than a client thinks between two requests. */
const IDLE_MS = 15_000;
const WORK_MS = 20_000;
/** Bodies within their bounds take a third of it. */
const HEAP_MB = 768;

/**
 * Reads bodies without holding the event loop: short ones at once, others in a thread of its own, which parses, checks
 * and renders. What comes back is small or moves without a copy. One thread: large requests wait for each other, and
 * nobody else waits for them.
 */
export class BodyReader {
  readonly #thread: CallThread<ReadOrder>;
  #nextKept = 1;

  /** `readers`: those of every door. */
  constructor({ readers, clock, log }: { readers: readonly DoorReader<unknown>[]; clock: Clock; log: Log }) {
    this.#thread = new CallThread({
      file: threadFile("thread", import.meta.url),
      data: readers.map(({ module }) => module),
      work: "large requests",
      heapMb: HEAP_MB,
      patience: { idleMs: IDLE_MS, workMs: WORK_MS, clock },
      log,
    });
  }

  /** Whether its thread is there. */
  get running(): boolean {
    return this.#thread.running;
  }

  /** Reads a request from the chunks of its body, which it takes. Throws what the door's reader does. */
  async read<Form>(
    reader: DoorReader<Form>,
    body: readonly Buffer[],
    around: Around = NOTHING_AROUND,
  ): Promise<OpenAsk<Form>> {
    const length = body.reduce((sum, chunk) => sum + chunk.length, 0);
    if (length <= INLINE_BYTES) return this.#open(reader.read(wholeOf(body), undefined, around));
    const keep = this.#nextKept++;
    // Put together there: what this thread makes garbage costs a look at all that it holds. Small chunks cost more to move.
    const isCrumbled = length < body.length * LEAST_CHUNK_BYTES;
    const chunks = (isCrumbled ? [wholeOf(body)] : body).map(sendable);
    const { module } = reader;
    const order: ReadOrder = { kind: "read", module, chunks, keep, around };
    const asked = await this.#thread.call<Asked<Form>>(
      order,
      chunks.map(({ buffer }) => buffer),
    );
    if (asked.ask.input.kind !== "messages") return this.#open(asked);
    const place = { kept: keep };
    return { asked, conversation: { render: (text) => this.#render(place, text) }, close: this.#keeper(keep) };
  }

  /** Makes the message of a body for a model of tensors; takes the chunks. Throws what is wrong with it. */
  async readTensors(chunks: readonly Buffer[], address: InferAddress): Promise<TensorRequest> {
    // Raw tensors cost a copy, wherever that is made; JSON costs many times its length.
    if (jsonOf(address, chunks) <= INLINE_BYTES) return readTensorBody(chunks, address, undefined);
    const order: ReadOrder = { kind: "tensors", address, chunks: chunks.map(sendable) };
    return this.#thread.call(
      order,
      order.chunks.map(({ buffer }) => buffer as ArrayBuffer),
    );
  }

  /** Prints the answer of a model of tensors; takes the bytes. Throws CORRUPT for an answer that is none. */
  async printTensors(bytes: Uint8Array, binary: BinaryOutputs): Promise<PrintedAnswer> {
    const isJson = !binary.others || [...binary.named.values()].includes(false);
    if (bytes.length <= INLINE_BYTES || !isJson) return printTensorAnswer(bytes, binary);
    const own = sendable(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    const order: ReadOrder = { kind: "print", bytes: own, binary };
    return this.#thread.call(order, [own.buffer]);
  }

  /** Makes the grammar of what was asked for. Throws what `compileGuidance` does. */
  compile(guidance: Guidance): string | Promise<string> {
    const isLong = guidance.kind === "jsonSchema" && guidance.schema.length > INLINE_SCHEMA_UNITS;
    return isLong ? this.#thread.call({ kind: "grammar", guidance }) : compileGuidance(guidance);
  }

  /** Ends the thread; who waits for it gets DRAINING. */
  close(): Promise<void> {
    return this.#thread.close();
  }

  /** A request of which nothing is elsewhere. */
  #open<Form>(asked: Asked<Form>): OpenAsk<Form> {
    const { input } = asked.ask;
    const conversation = input.kind === "messages" ? this.#converse(input.messages) : undefined;
    return { asked, conversation, close: forgetNothing };
  }

  #converse(conversation: TemplateConversation): Conversation {
    const isLong =
      conversation.messages.length > INLINE_MESSAGES || variableUnits(conversation) > INLINE_VARIABLE_UNITS;
    return { render: (text) => (isLong ? this.#render({ conversation }, text) : text.renderChat(conversation)) };
  }

  /** What forgets messages that the thread keeps. They may be kept as long as a model takes to load. */
  #keeper(keep: number): () => void {
    const release = this.#thread.hold();
    return () => {
      this.#thread.tell({ kind: "drop", kept: keep });
      release();
    };
  }

  #render(place: MessagesPlace, text: ModelText): Promise<RenderedPrompt> {
    return this.#thread.call({ kind: "render", place, template: text.template() });
  }
}

function forgetNothing(): void {}

function variableUnits({ variables = {} }: TemplateConversation): number {
  return Object.values(variables).reduce((sum, { length }) => sum + length, 0);
}

function wholeOf(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

/** Bytes with memory of their own, which may move to another thread. */
function sendable(bytes: Buffer): Uint8Array<ArrayBuffer> {
  const whole = bytes.byteLength === bytes.buffer.byteLength && bytes.buffer instanceof ArrayBuffer;
  return whole ? new Uint8Array(bytes.buffer as ArrayBuffer) : new Uint8Array(bytes);
}
