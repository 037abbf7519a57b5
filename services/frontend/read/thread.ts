import { workerData } from "node:worker_threads";
import type { JsonBounds } from "#lib/api/json-bounds";
import type { InferAnswer } from "#lib/api/kserve/json-answer";
import type { BinaryOutputs, InferAddress } from "#lib/api/kserve/json-request";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";
import { type ChatTemplate, compileTemplate, type Prompt } from "#lib/text/template";
import type { Around, Asked, DoorAsk, DoorReader } from "../doors/door.ts";
import type { RenderedPrompt, TemplateConversation, TemplateText } from "../text/model-text.ts";
import { type Answered, serveOrders } from "../thread/serve.ts";
import type { PrintedAnswer } from "./printed-answer.ts";
import { printTensorAnswer, readTensorBody } from "./tensor-bodies.ts";

/** Where the messages of a request are: kept in this thread under a number, or sent along. */
export type MessagesPlace = { readonly kept: number } | { readonly conversation: TemplateConversation };

/** What a thread that reads is told. */
export type ReadOrder =
  /** `module`: that of the door's reader. `chunks`: the body. Messages are kept under the number. */
  | {
      readonly kind: "read";
      readonly module: string;
      readonly chunks: readonly Uint8Array[];
      readonly keep: number;
      readonly around: Around;
    }
  /** Makes the message of a body for a model of tensors. */
  | { readonly kind: "tensors"; readonly chunks: readonly Uint8Array[]; readonly address: InferAddress }
  /** Prints the answer of such a model. */
  | { readonly kind: "print"; readonly bytes: Uint8Array; readonly binary: BinaryOutputs }
  | { readonly kind: "render"; readonly place: MessagesPlace; readonly template: TemplateText }
  | { readonly kind: "grammar"; readonly guidance: Guidance }
  | { readonly kind: "drop"; readonly kept: number };

/** Bodies are refused beyond these. A prompt of a million token ids has a million values; a message has two members or more. */
const BOUNDS: JsonBounds = { depth: 128, values: 2_097_152, members: 262_144 };

/** Texts of more UTF-16 units go on as UTF-8: those bytes move between threads and to the encoder without a copy. */
const LONG_UNITS = 65_536;

/** A text, a long one as UTF-8, whose memory is added to what moves. */
function moved(text: string | Uint8Array, transfer: Set<ArrayBuffer>): string | Uint8Array {
  if (typeof text === "string" && text.length <= LONG_UNITS) return text;
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : new Uint8Array(text);
  transfer.add(bytes.buffer);
  return bytes;
}

function moveInput(input: DoorAsk["input"], transfer: Set<ArrayBuffer>): DoorAsk["input"] {
  switch (input.kind) {
    case "messages":
      return { kind: "messages", messages: { ...input.messages, messages: [] } };
    case "text":
      return { kind: "text", texts: input.texts.map((text) => moved(text, transfer)) };
    case "tokens":
      for (const { buffer } of input.prompts) transfer.add(buffer as ArrayBuffer);
      return input;
  }
}

function moveGuidance(guidance: Guidance | undefined, transfer: Set<ArrayBuffer>): Guidance | undefined {
  return guidance?.kind === "jsonSchema" ? { ...guidance, schema: moved(guidance.schema, transfer) } : guidance;
}

/** What was read, without its messages. */
function answerAsked(asked: Asked<unknown>): Answered<Asked<unknown>> {
  const transfer = new Set<ArrayBuffer>();
  const input = moveInput(asked.ask.input, transfer);
  const guidance = moveGuidance(asked.ask.guidance, transfer);
  return { answer: { ...asked, ask: { ...asked.ask, input, guidance } }, transfer: [...transfer] };
}

function answerPrompt({ text, content }: Prompt): Answered<RenderedPrompt> {
  const transfer = new Set<ArrayBuffer>();
  return { answer: { text: moved(text, transfer), content }, transfer: [...transfer] };
}

/** The JSON as UTF-8, which moves; what stands behind it moves with the bytes that came. */
function answerPrinted({ json, contents }: InferAnswer): Answered<PrintedAnswer> {
  const text = new TextEncoder().encode(json);
  const buffers = [text, ...contents].map(({ buffer }) => buffer as ArrayBuffer);
  return { answer: { json: text, contents }, transfer: [...new Set(buffers)] };
}

/** What this thread keeps between orders: messages of requests by their number, and the template of the last one. */
class Reading {
  readonly #readers: ReadonlyMap<string, DoorReader<unknown>>;
  readonly #kept = new Map<number, TemplateConversation>();
  #template: { readonly source: string; readonly compiled: ChatTemplate } | undefined;

  constructor(readers: ReadonlyMap<string, DoorReader<unknown>>) {
    this.#readers = readers;
  }

  handle(order: ReadOrder): Answered<unknown> | undefined {
    switch (order.kind) {
      case "read": {
        const asked = this.#readers.get(order.module)!.read(Buffer.concat(order.chunks), BOUNDS, order.around);
        if (asked.ask.input.kind === "messages") this.#kept.set(order.keep, asked.ask.input.messages);
        return answerAsked(asked);
      }
      case "tensors": {
        const answer = readTensorBody(order.chunks, order.address, BOUNDS);
        return { answer, transfer: [answer.message.buffer] };
      }
      case "print":
        return answerPrinted(printTensorAnswer(order.bytes, order.binary));
      case "render":
        return answerPrompt(this.#render(this.#conversation(order.place), order.template));
      case "grammar":
        return { answer: compileGuidance(order.guidance) };
      case "drop":
        this.#kept.delete(order.kept);
        return undefined;
    }
  }

  #render({ messages, ...how }: TemplateConversation, template: TemplateText): Prompt {
    const { bosToken, eosToken } = template;
    return this.#compiled(template).render(messages, { ...how, bosToken, eosToken });
  }

  #conversation(place: MessagesPlace): TemplateConversation {
    if ("conversation" in place) return place.conversation;
    const conversation = this.#kept.get(place.kept);
    // The thread in which it was read has died since, of another request.
    if (!conversation) throw new StatorError("OVERLOADED", { what: "large requests" });
    return conversation;
  }

  #compiled({ source, limits }: TemplateText): ChatTemplate {
    if (this.#template?.source !== source) {
      this.#template = { source, compiled: compileTemplate(source, systemClock, limits) };
    }
    return this.#template.compiled;
  }
}

/** Opens the readers of these modules. */
async function openReaders(modules: readonly string[]): Promise<ReadonlyMap<string, DoorReader<unknown>>> {
  const opened = modules.map(async (module) => {
    const { reader } = (await import(module)) as { readonly reader: DoorReader<unknown> };
    return [module, reader] as const;
  });
  return new Map(await Promise.all(opened));
}

const reading = new Reading(await openReaders(workerData as readonly string[]));
serveOrders((order: ReadOrder) => reading.handle(order));
