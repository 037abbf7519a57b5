import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { FinishReason, GenerateRequestSchema, GenerateResponseSchema } from "#gen/openengine/v1/generation_pb";

/** A message of openengine.v1 and the bytes that other implementations write for it. */
export interface Vector {
  /** What it is, for the name of a test. */
  readonly what: string;
  readonly schema: DescMessage;
  readonly hex: string;
  readonly value: Message;
}

/** A prefill request. */
export const PREFILL_REQUEST: Vector = vector(
  "a prefill request: an explicit temperature of 0, a salt, a setting in extra",
  GenerateRequestSchema,
  "0a02723112016d22080a0601ac02f0a2042a090900000000000000003202080442031a0173" +
    "62200a1e0a0c726571756573745f74797065120e1a0c636f6e746578745f6f6e6c79",
  {
    requestId: "r1",
    model: "m",
    input: { case: "tokenIds", value: { ids: [1, 300, 70000] } },
    sampling: { temperature: 0 },
    stopping: { maxTokens: 4 },
    kv: { cacheSalt: "s" },
    extra: { request_type: "context_only" },
  },
);

/** One token. */
export const TOKEN: Vector = vector(
  "a token of output 0, whose index is written although it is 0",
  GenerateResponseSchema,
  "0a0272311a0e080012060805120268691a026869",
  {
    requestId: "r1",
    event: { case: "token", value: { outputIndex: 0, tokens: [{ tokenId: 5, token: "hi" }], text: "hi" } },
  },
);

/** The end of a request. */
export const FINISHED: Vector = vector(
  "the end of output 0 with usage",
  GenerateResponseSchema,
  "0a0272312a0808001001220218025206080310011804",
  {
    requestId: "r1",
    event: {
      case: "finished",
      value: { outputIndex: 0, reason: FinishReason.STOP, stopMatch: { match: { case: "eosTokenId", value: 2 } } },
    },
    usage: { promptTokens: 3, completionTokens: 1, totalTokens: 4 },
  },
);

/** The end of a prefill. */
export const PREFILL_READY: Vector = vector(
  "a prefill that is ready, with the attributes of its transport",
  GenerateResponseSchema,
  "0a0272312294010a91010a05313233343512046e69786c1a130a0831302e302e302e3110e02b1a046e69786c" +
    "2a6d0a3b0a1072656d6f74655f626c6f636b5f696473122732250a2332210a0911000000000000f03f0a0911" +
    "00000000000000400a091100000000000008400a180a1072656d6f74655f656e67696e655f696412041a0265" +
    "310a140a0774705f73697a65120911000000000000f03f",
  {
    requestId: "r1",
    event: {
      case: "prefillReady",
      value: {
        kvSession: {
          sessionId: "12345",
          transferBackend: "nixl",
          endpoints: [{ host: "10.0.0.1", port: 5600, protocol: "nixl" }],
          attributesStruct: { remote_block_ids: [[1, 2, 3]], remote_engine_id: "e1", tp_size: 1 },
        },
      },
    },
  },
);

/** All of them. */
export const VECTORS: readonly Vector[] = [PREFILL_REQUEST, TOKEN, FINISHED, PREFILL_READY];

function vector<Desc extends DescMessage>(
  what: string,
  schema: Desc,
  hex: string,
  value: MessageInitShape<Desc>,
): Vector {
  return { what, schema, hex, value: create(schema, value) };
}
