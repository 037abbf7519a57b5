import type { JsonBounds } from "#lib/api/json-bounds";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { compileGuidance, type Guidance } from "#lib/text/grammar/guidance";
import { type ChatTemplate, compileTemplate } from "#lib/text/template";
import type { TemplateText } from "../text/model-text.ts";
import { type Answered, serveOrders } from "../thread/serve.ts";
import { parseBody } from "./json.ts";
import {
  type ChatParts,
  effective,
  type Inputs,
  type ReadRequest,
  ROUTE_FIELDS,
  readChat,
  readCompletion,
  readEmbedding,
} from "./requests.ts";

/** Where the parts of a chat request are: kept in this thread under a number, or sent along. */
export type PartsPlace = { readonly kept: number } | { readonly parts: ChatParts };

/** What a thread that reads is told. */
export type ReadOrder =
  | { readonly kind: "chat"; readonly bytes: Uint8Array; readonly keep: number }
  | { readonly kind: "completions" | "embeddings"; readonly bytes: Uint8Array }
  | { readonly kind: "render"; readonly place: PartsPlace; readonly template: TemplateText }
  | { readonly kind: "grammar"; readonly guidance: Guidance }
  | { readonly kind: "drop"; readonly kept: number };

/** Bodies are refused beyond these. A prompt of a million token ids has a million values; a message has two members or more. */
const BOUNDS: JsonBounds = { depth: 128, values: 2_097_152, members: 262_144 };

/** Texts of more UTF-16 units go on as UTF-8: those bytes move between threads and to the encoder without a copy. */
const LONG_UNITS = 65_536;

function answerText(text: string): Answered<string | Uint8Array> {
  if (text.length <= LONG_UNITS) return { answer: text };
  const bytes = new TextEncoder().encode(text);
  return { answer: bytes, transfer: [bytes.buffer] };
}

/** A head whose schema, if it is long, goes on as UTF-8. */
function answerHead<Head extends { readonly guidance?: Guidance }>(head: Head): Answered<Head> {
  const { guidance } = head;
  if (guidance?.kind !== "jsonSchema" || guidance.schema.length <= LONG_UNITS) return { answer: head };
  const schema = encoded(guidance.schema);
  return { answer: { ...head, guidance: { ...guidance, schema } }, transfer: [schema.buffer] };
}

function answerInputs(
  read: { readonly head: object; readonly ignored: readonly string[] },
  { texts, ids }: Inputs,
): Answered<ReadRequest<object, Inputs>> {
  if (ids) return { answer: { ...read, parts: { ids } }, transfer: ids.map(({ buffer }) => buffer) };
  const long = texts.map((text) => (typeof text === "string" && text.length <= LONG_UNITS ? text : encoded(text)));
  const transfer = long.flatMap((text) => (typeof text === "string" ? [] : [text.buffer]));
  return { answer: { ...read, parts: { texts: long } }, transfer };
}

function encoded(text: string | Uint8Array): Uint8Array<ArrayBuffer> {
  return typeof text === "string" ? new TextEncoder().encode(text) : new Uint8Array(text);
}

/** What this thread keeps between orders: parts of chat requests by their number, and the template of the last one. */
class Reading {
  readonly #kept = new Map<number, ChatParts>();
  #template: { readonly source: string; readonly compiled: ChatTemplate } | undefined;

  handle(order: ReadOrder): Answered<unknown> | undefined {
    switch (order.kind) {
      case "chat": {
        const { head, ignored, parts } = readChat(parseBody(order.bytes, BOUNDS));
        this.#kept.set(order.keep, parts);
        const lean = answerHead(effective(head, ROUTE_FIELDS.chat));
        return { answer: { head: lean.answer, ignored, parts: undefined }, transfer: lean.transfer };
      }
      case "completions": {
        const { head, ignored, parts } = readCompletion(parseBody(order.bytes, BOUNDS));
        const lean = answerHead(effective(head, ROUTE_FIELDS.completions));
        const { answer, transfer = [] } = answerInputs({ head: lean.answer, ignored }, parts);
        return { answer, transfer: [...transfer, ...(lean.transfer ?? [])] };
      }
      case "embeddings": {
        const { head, ignored, parts } = readEmbedding(parseBody(order.bytes, BOUNDS));
        return answerInputs({ head: effective(head, ROUTE_FIELDS.embeddings), ignored }, parts);
      }
      case "render":
        return answerText(this.#compiled(order.template).render(this.#parts(order.place).messages, order.template));
      case "grammar":
        return { answer: compileGuidance(order.guidance) };
      case "drop":
        this.#kept.delete(order.kept);
        return undefined;
    }
  }

  #parts(place: PartsPlace): ChatParts {
    if ("parts" in place) return place.parts;
    const parts = this.#kept.get(place.kept);
    // The thread in which they were read has died since, of another request.
    if (!parts) throw new StatorError("OVERLOADED", { what: "large requests" });
    return parts;
  }

  #compiled({ source }: TemplateText): ChatTemplate {
    if (this.#template?.source !== source) this.#template = { source, compiled: compileTemplate(source, systemClock) };
    return this.#template.compiled;
  }
}

const reading = new Reading();
serveOrders((order: ReadOrder) => reading.handle(order));
