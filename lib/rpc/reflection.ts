import { ServerReflection, type ServerReflectionRequest } from "#gen/grpc/reflection/v1/reflection_pb";
import {
  ServerReflection as AlphaReflection,
  type ServerReflectionRequest as AlphaRequest,
} from "#gen/grpc/reflection/v1alpha/reflection_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { DescriptorIndex } from "./descriptor-index.ts";
import { createService, type ServedService } from "./service.ts";

/** gRPC's status code for a question that has no answer. */
const NOT_FOUND = 5;
/** gRPC's status code for a question that is none. */
const INVALID_ARGUMENT = 3;

/**
 * grpc.reflection.v1 and v1alpha for these services, for tools such as grpcurl: what there is, and the descriptor of any
 * file, symbol or extension that the services reach.
 */
export function createReflectionServices(
  services: readonly ServedService[],
  options: { access?: Access } = {},
): ServedService[] {
  const access = options.access ?? Access.OPERATOR;
  const index = new DescriptorIndex([...services.map(({ service }) => service), ServerReflection, AlphaReflection]);
  // Both revisions have the same fields under different names: one function answers either.
  async function* answer<Request extends ServerReflectionRequest | AlphaRequest>(requests: AsyncIterable<Request>) {
    for await (const request of requests) {
      const messageResponse = answerTo(index, request.messageRequest);
      yield { validHost: request.host, originalRequest: request, messageResponse };
    }
  }
  return [
    createService(ServerReflection, { serverReflectionInfo: (requests) => answer(requests) }, { access }),
    createService(AlphaReflection, { serverReflectionInfo: (requests) => answer(requests) }, { access }),
  ];
}

type Question = ServerReflectionRequest["messageRequest"] | AlphaRequest["messageRequest"];

function answerTo(index: DescriptorIndex, question: Question) {
  switch (question.case) {
    case "listServices":
      return { case: "listServicesResponse" as const, value: { service: index.services.map((name) => ({ name })) } };
    case "fileByFilename":
      return files(index.byFilename(question.value), question.value);
    case "fileContainingSymbol":
      return files(index.bySymbol(question.value), question.value);
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = question.value;
      return files(index.byExtension(containingType, extensionNumber), `${containingType} ${extensionNumber}`);
    }
    case "allExtensionNumbersOfType": {
      const extensionNumber = index.extensionNumbers(question.value);
      if (!extensionNumber) return refused(NOT_FOUND, `${question.value} was not found.`);
      const value = { baseTypeName: question.value, extensionNumber };
      return { case: "allExtensionNumbersResponse" as const, value };
    }
    default:
      return refused(INVALID_ARGUMENT, "The request asks nothing.");
  }
}

function files(found: Uint8Array[] | undefined, what: string) {
  if (!found) return refused(NOT_FOUND, `${what} was not found.`);
  return { case: "fileDescriptorResponse" as const, value: { fileDescriptorProto: found } };
}

function refused(errorCode: number, errorMessage: string) {
  return { case: "errorResponse" as const, value: { errorCode, errorMessage } };
}
