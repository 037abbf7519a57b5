import { Access } from "#gen/stator/common/v1/common_pb";
import { parseBody } from "#lib/api/json-body";
import { printKserveError } from "../doors/kserve/error.ts";
import { inferenceAccess } from "../inference/access.ts";
import type { Operation, OperationCaller } from "../inference/operations.ts";
import { type BodyOptions, receiveBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import type { HttpRoute, Method, Parts } from "./router.ts";

/** What operations are answered with. */
export interface OperationTools {
  /** The inference service of this process. */
  readonly service: OperationCaller;
  /** How bodies are received. */
  readonly body: BodyOptions;
}

/** Longest body of an operation: it is read at once. */
export const OPERATION_BYTES = 65_536;

/** The routes of these operations, each at all of its paths. */
export function operationRoutes(operations: readonly Operation[], tools: OperationTools): HttpRoute[] {
  return operations.flatMap((operation) => {
    const { name, api, method: rpc } = operation;
    const route = {
      method: api.method.toUpperCase() as Method,
      name,
      printError: printKserveError,
      handler: (exchange: Exchange, parts: Parts) => answer(exchange, parts, { operation, tools }),
      ...(inferenceAccess(rpc) === Access.OPERATOR && { access: "operator" as const }),
    };
    return [api.path, ...(api.also ?? [])].map((path) => ({ path, ...route }));
  });
}

async function answer(
  exchange: Exchange,
  parts: Parts,
  { operation, tools }: { readonly operation: Operation; readonly tools: OperationTools },
): Promise<void> {
  const isRead = operation.api.method === "get";
  const options = { ...tools.body, mostBytes: Math.min(OPERATION_BYTES, tools.body.mostBytes), binary: true };
  const body = isRead ? {} : await receiveBody(exchange, options, async (chunks) => readJson(chunks));
  const { status, body: json } = await operation.run(tools.service, { parts, body });
  exchange.json(status, json);
}

/** No body says the same as an empty object. */
function readJson(chunks: readonly Buffer[]): unknown {
  const bytes = Buffer.concat(chunks);
  return bytes.length === 0 ? {} : parseBody(bytes);
}
