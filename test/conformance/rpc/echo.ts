import { create, type DescMessage, setExtension, toBinary } from "@bufbuild/protobuf";
import { fileDesc, type GenService, serviceDesc } from "@bufbuild/protobuf/codegenv2";
import { base64Encode } from "@bufbuild/protobuf/wire";
import {
  BytesValueSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  file_google_protobuf_wrappers,
  type MethodDescriptorProto,
  MethodDescriptorProtoSchema,
  MethodOptionsSchema,
  StringValueSchema,
  UInt32ValueSchema,
} from "@bufbuild/protobuf/wkt";
import { Access, access, file_stator_common_v1_common } from "#gen/stator/common/v1/common_pb";

type Text = typeof StringValueSchema;
type Count = typeof UInt32ValueSchema;
type Bytes = typeof BytesValueSchema;

/** A service with every kind of method over well-known messages, made here so that no product contract bends for tests. */
export const EchoService = declareEcho();

/** The methods of EchoService. */
export type EchoMethods = {
  /** Answers with the same text; `!REASON` throws that reason. */
  say: { methodKind: "unary"; input: Text; output: Text };
  /** Answers with so many bytes. */
  fill: { methodKind: "unary"; input: Count; output: Bytes };
  /** Counts up to the number. */
  count: { methodKind: "server_streaming"; input: Count; output: Count };
  /** Sends 64 KiB again and again. */
  flood: { methodKind: "server_streaming"; input: Text; output: Bytes };
  /** Joins texts. */
  join: { methodKind: "client_streaming"; input: Text; output: Text };
  /** Answers each text. */
  chat: { methodKind: "bidi_streaming"; input: Text; output: Text };
  /** The same through the callback form. */
  link: { methodKind: "bidi_streaming"; input: Bytes; output: Bytes };
  /** Answers with the message's bytes. */
  mirror: { methodKind: "unary"; input: Bytes; output: Bytes };
  /** Answers each message with its bytes. */
  relay: { methodKind: "bidi_streaming"; input: Bytes; output: Bytes };
  /** Nobody implements it. */
  absent: { methodKind: "unary"; input: Text; output: Text };
  /** Only for peers. */
  secret: { methodKind: "unary"; input: Text; output: Text };
};

function declareEcho(): GenService<EchoMethods> {
  const file: FileDescriptorProto = create(FileDescriptorProtoSchema, {
    name: "stator/test/v1/echo.proto",
    package: "stator.test.v1",
    syntax: "proto3",
    dependency: ["google/protobuf/wrappers.proto", "stator/common/v1/common.proto"],
    service: [
      {
        name: "EchoService",
        method: [
          method("Say", [StringValueSchema, StringValueSchema]),
          method("Fill", [UInt32ValueSchema, BytesValueSchema]),
          method("Count", [UInt32ValueSchema, UInt32ValueSchema], "s"),
          method("Flood", [StringValueSchema, BytesValueSchema], "s"),
          method("Join", [StringValueSchema, StringValueSchema], "c"),
          method("Chat", [StringValueSchema, StringValueSchema], "cs"),
          method("Link", [BytesValueSchema, BytesValueSchema], "cs"),
          method("Mirror", [BytesValueSchema, BytesValueSchema]),
          method("Relay", [BytesValueSchema, BytesValueSchema], "cs"),
          method("Absent", [StringValueSchema, StringValueSchema]),
          method("Secret", [StringValueSchema, StringValueSchema], "", Access.PEER),
        ],
      },
    ],
  });
  const bytes = base64Encode(toBinary(FileDescriptorProtoSchema, file));
  // The methods were declared just above with the kinds and messages of EchoMethods.
  return serviceDesc(
    fileDesc(bytes, [file_google_protobuf_wrappers, file_stator_common_v1_common]),
    0,
  ) as unknown as GenService<EchoMethods>;
}

function method(
  name: string,
  [input, output]: readonly [DescMessage, DescMessage],
  streams = "",
  who: Access = Access.PUBLIC,
): MethodDescriptorProto {
  const options = create(MethodOptionsSchema);
  setExtension(options, access, who);
  return create(MethodDescriptorProtoSchema, {
    name,
    inputType: `.${input.typeName}`,
    outputType: `.${output.typeName}`,
    clientStreaming: streams.includes("c"),
    serverStreaming: streams.includes("s"),
    options,
  });
}
