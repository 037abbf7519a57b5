import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { ApiRoute } from "#lib/api/routes";
import type { CallOptions } from "#lib/rpc/transport";

/** What a request for an operation says. */
export interface OperationAsk {
  /** What its path has in the place of each part in braces. */
  readonly parts: Readonly<Record<string, string>>;
  /** Its body as JSON; an empty object for a request without one. */
  readonly body: unknown;
}

/** What an operation answers over HTTP. */
export interface OperationAnswer {
  /** Such as 200. */
  readonly status: number;
  /** JSON. */
  readonly body: string;
}

/** Calls a method of the service in this process. */
export interface OperationCaller {
  /** Resolves with the answer. Rejects with the error of the method. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>>;
}

/** A method of the inference service as HTTP has it. */
export interface Operation {
  /** For counters. */
  readonly name: string;
  /** Where it is, and what the document says of it. */
  readonly api: ApiRoute;
  /** The method, for who looks up whom it is open to. */
  readonly method: DescMethodUnary;
  /** Asks the service and prints what it answers. Throws what is wrong with the body, and the method's own errors. */
  run(service: OperationCaller, ask: OperationAsk): Promise<OperationAnswer>;
}

/** What an operation is made of. */
export interface OperationRow<I extends DescMessage, O extends DescMessage> extends Pick<Operation, "name" | "api"> {
  /** What is called. */
  readonly method: DescMethodUnary<I, O>;
  /** The message of a request. Throws what is wrong with its body. */
  readonly ask: (ask: OperationAsk) => MessageInitShape<I>;
  /** The JSON of an answer. */
  readonly print: (answer: MessageShape<O>, ask: OperationAsk) => string;
  /** 200 unless given. */
  readonly status?: (answer: MessageShape<O>) => number;
}

/** Makes an operation of its row. */
export function createOperation<I extends DescMessage, O extends DescMessage>(row: OperationRow<I, O>): Operation {
  const { name, api, method, ask: read, print, status } = row;
  return {
    ...{ name, api, method },
    async run(service, ask) {
      const answer = await service.unary(method, create(method.input, read(ask)));
      return { status: status?.(answer) ?? 200, body: print(answer, ask) };
    },
  };
}
