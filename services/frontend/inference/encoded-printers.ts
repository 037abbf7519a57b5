import { create } from "@bufbuild/protobuf";
import {
  type ModelInferResponse,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import type { StatorError } from "#lib/base/errors";
import { Serializer } from "#lib/rpc/serialize";
import type { AnswerFinish, AnswerPrinter, Placement, ScoredText, ServingLogprobs, Usage } from "#lib/serving/answer";
import type { DoorPrinters } from "../doors/door.ts";
import { StreamedText } from "./streamed-text.ts";

/** Makes the bytes of an answer. */
export type EncodeAnswer = (response: ModelInferResponse) => Uint8Array;

/** How long a message may be is looked at where it is sent. */
const WHOLE = new Serializer(ModelInferResponseSchema, Number.POSITIVE_INFINITY);
const ON_STREAM = new Serializer(ModelStreamInferResponseSchema, Number.POSITIVE_INFINITY);

/** As the answer of a call that has one: a ModelInferResponse. */
export const encodeWhole: EncodeAnswer = (response) => WHOLE.serialize(response);

/** As a message of a stream: a ModelStreamInferResponse. */
export const encodeOnStream: EncodeAnswer = (inferResponse) =>
  ON_STREAM.serialize(create(ModelStreamInferResponseSchema, { inferResponse }));

/** The printers of a door whose answers go out as these bytes; events are messages of a stream. */
export function encodedPrinters<Form>(
  { events, body, embeddings }: DoorPrinters<Form, ModelInferResponse>,
  encode: EncodeAnswer,
): DoorPrinters<Form, Uint8Array> {
  return {
    ...(events && { events: (plan, form) => new EncodedEvents(events(plan, form)) }),
    ...(body && {
      body(plan, form) {
        const printer = body(plan, form);
        return {
          begin: (placement) => printer.begin(placement),
          prompt: (choice, position, logprobs) => printer.prompt(choice, position, logprobs),
          choice: (choice, said) => printer.choice(choice, said),
          body: (usage) => encode(printer.body(usage)),
        };
      },
    }),
    ...(embeddings && {
      embeddings(plan, form) {
        const printer = embeddings(plan, form);
        return {
          embedding: (choice, values) => printer.embedding(choice, values),
          body: (usage) => encode(printer.body(usage)),
        };
      },
    }),
  };
}

/**
 * The events of one answer on a stream. What a choice says next is a text in the same message as before: the door prints
 * the first of them, and those behind it are made from that one.
 */
class EncodedEvents implements AnswerPrinter<Uint8Array> {
  readonly #printer: AnswerPrinter<ModelInferResponse>;
  /** By choice: undefined before its first text, null where texts are no such messages. */
  readonly #texts: (StreamedText | null | undefined)[] = [];

  constructor(printer: AnswerPrinter<ModelInferResponse>) {
    this.#printer = printer;
  }

  begin(placement: Placement): void {
    this.#printer.begin(placement);
  }

  prompt(choice: number, position: number, logprobs: ServingLogprobs): void {
    this.#printer.prompt(choice, position, logprobs);
  }

  text(choice: number, text: string, soFar: Usage | undefined): Uint8Array | undefined {
    const like = this.#texts[choice];
    if (like) return like.print(text);
    const printed = this.#printer.text(choice, text, soFar);
    if (like === undefined)
      this.#texts[choice] = (printed && soFar === undefined && StreamedText.like(printed)) || null;
    return encoded(printed);
  }

  token(choice: number, part: ScoredText, soFar: Usage | undefined): Uint8Array | undefined {
    return encoded(this.#printer.token(choice, part, soFar));
  }

  end(choice: number, finish: AnswerFinish, soFar: Usage | undefined): Uint8Array | undefined {
    return encoded(this.#printer.end(choice, finish, soFar));
  }

  done(usage: Usage): Uint8Array {
    return encodeOnStream(this.#printer.done(usage));
  }

  failed(error: StatorError): Uint8Array | undefined {
    return encoded(this.#printer.failed(error));
  }
}

function encoded(printed: ModelInferResponse | undefined): Uint8Array | undefined {
  return printed && encodeOnStream(printed);
}
