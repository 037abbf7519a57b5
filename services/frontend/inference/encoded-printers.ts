import type { ModelInferResponse } from "#gen/inference/infer_pb";
import type { AnswerFinish, AnswerPrinter, Placement, ScoredText, ServingLogprobs, Usage } from "#lib/serving/answer";
import type { DoorPrinters } from "../doors/door.ts";
import { AnswerEncoder } from "./answer-encoder.ts";

/** What a stream tells in a message of another kind, or not at all. */
const NOTHING = new Uint8Array(0);

/**
 * The printers of a door whose answers go out as bytes: as a ModelInferResponse each, or on a stream as a
 * ModelStreamInferResponse. What failed is told by the stream itself.
 */
export function encodedPrinters<Form>(
  printers: DoorPrinters<Form, ModelInferResponse>,
  as: "whole" | "onStream",
): DoorPrinters<Form, Uint8Array> {
  const { events, body, embeddings } = printers;
  return {
    ...(events && { events: (plan, form) => new EncodedEvents(events(plan, form)) }),
    ...(body && {
      body(plan, form) {
        const printer = body(plan, form);
        return {
          begin: (placement) => printer.begin(placement),
          prompt: (choice, position, logprobs) => printer.prompt(choice, position, logprobs),
          choice: (choice, said) => printer.choice(choice, said),
          body: (usage) => new AnswerEncoder()[as](printer.body(usage)),
        };
      },
    }),
    ...(embeddings && {
      embeddings(plan, form) {
        const printer = embeddings(plan, form);
        return {
          embedding: (choice, values) => printer.embedding(choice, values),
          body: (usage) => new AnswerEncoder()[as](printer.body(usage)),
        };
      },
    }),
  };
}

/** The events of one answer on a stream. */
class EncodedEvents implements AnswerPrinter<Uint8Array> {
  readonly #printer: AnswerPrinter<ModelInferResponse>;
  readonly #encoder = new AnswerEncoder();

  constructor(printer: AnswerPrinter<ModelInferResponse>) {
    this.#printer = printer;
  }

  begin(placement: Placement): void {
    this.#printer.begin(placement);
  }

  prompt(choice: number, position: number, logprobs: ServingLogprobs): void {
    this.#printer.prompt(choice, position, logprobs);
  }

  text(choice: number, text: string, soFar: Usage | undefined): Uint8Array {
    return this.#encoder.onStream(this.#printer.text(choice, text, soFar));
  }

  token(choice: number, part: ScoredText, soFar: Usage | undefined): Uint8Array {
    return this.#encoder.onStream(this.#printer.token(choice, part, soFar));
  }

  end(choice: number, finish: AnswerFinish, soFar: Usage | undefined): Uint8Array {
    return this.#encoder.onStream(this.#printer.end(choice, finish, soFar));
  }

  done(usage: Usage): Uint8Array {
    return this.#encoder.onStream(this.#printer.done(usage));
  }

  failed(): Uint8Array {
    return NOTHING;
  }
}
