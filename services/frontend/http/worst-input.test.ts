import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ModelInferRequestSchema, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { type FarClient, heldShare, openFarClient, sharedBytes } from "../../../test/support/loop-watch.ts";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";
import { DOORS, readersOf } from "../doors/doors.ts";
import type { Forwarding } from "../inference/forwarding.ts";
import { BodyReader } from "../read/reader.ts";

const BODY_BYTES = Number(process.env.TEST_SCALE ?? 1) > 1 ? 8 << 20 : 3 << 20;
/** Just what is read at once, and the longest body. */
const SIZES = [65_000, BODY_BYTES - 1000];

let rehearsal: Rehearsal;
let client: FarClient;
let reader: BodyReader;

beforeAll(async () => {
  // As a frontend has it that makes the grammars of long schemas itself.
  reader = new BodyReader({ readers: readersOf(DOORS), clock: systemClock, log: silentLog });
  const dispatcher = new RehearsalDispatcher({
    running: true,
    reply: () => ({ tokens: encodeBytes("x") }),
    compile: (guidance) => reader.compile(guidance),
  });
  const inference = { ledger: { model: () => undefined }, serverName: "stator", forwarding: ECHO };
  rehearsal = await openRehearsal(dispatcher, { reader, limits: { bodyBytes: BODY_BYTES }, inference });
  client = openFarClient();
});
afterAll(async () => {
  await client.close();
  await rehearsal.frontend.close({ drainMs: 0 });
  await reader.close();
});

/** A model of tensors that answers with what it was sent. */
const ECHO: Forwarding = {
  takes: (model) => model === "tensors",
  infer({ bytes }, sink) {
    setImmediate(() => {
      const { modelName, inputs, rawInputContents } = fromBinary(ModelInferRequestSchema, bytes);
      const outputs = inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape }));
      const response = create(ModelInferResponseSchema, { modelName, outputs, rawOutputContents: rawInputContents });
      sink.onAnswer(toBinary(ModelInferResponseSchema, response));
      sink.onEnd(undefined);
    });
    return { cancel() {}, resume() {} };
  },
  ask: async () => new Uint8Array(0),
};

/** As many copies of a text as fit, with commas between them. */
const items = (bytes: number, item: string): string =>
  `${`${item},`.repeat(Math.floor(bytes / (item.length + 1)))}${item}`;
const keys = (bytes: number, value: string): string =>
  Array.from(
    { length: Math.floor(bytes / (12 + value.length)) },
    (_, at) => `"${at.toString(36).padStart(8, "k")}":${value}`,
  ).join();
const chat = (fields: string): string => `{"model":"rehearsal","messages":[{"role":"user","content":"hi"}],${fields}}`;
const schema = (text: string): string =>
  chat(`"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":${text}}}`);

const CHAT: Readonly<Record<string, (bytes: number) => string>> = {
  "brackets that open": (bytes) => "[".repeat(bytes),
  "nested lists": (bytes) => chat(`"prediction":${"[".repeat(bytes / 2)}${"]".repeat(bytes / 2)}`),
  "nested objects": (bytes) => chat(`"prediction":${'{"a":'.repeat(bytes / 6)}1${"}".repeat(bytes / 6)}`),
  "unknown fields": (bytes) => chat(keys(bytes, "1")),
  "empty objects": (bytes) => chat(`"prediction":[${items(bytes, "{}")}]`),
  "short messages": (bytes) => `{"model":"rehearsal","messages":[${items(bytes, '{"role":"user","content":""}')}]}`,
  "wrong messages": (bytes) => `{"model":"rehearsal","messages":[${items(bytes, "0")}]}`,
  "parts of a message": (bytes) =>
    `{"model":"rehearsal","messages":[{"role":"user","content":[${items(bytes, '{"type":"text","text":""}')}]}]}`,
  "one text": (bytes) => `{"model":"rehearsal","messages":[{"role":"user","content":"${"x".repeat(bytes)}"}]}`,
  "one text of escapes": (bytes) =>
    `{"model":"rehearsal","messages":[{"role":"user","content":"${"\\u4e00".repeat(bytes / 6)}"}]}`,
  "a text without an end": (bytes) => `{"model":"${'\\"'.repeat(bytes / 2)}`,
  "a long ignored text": (bytes) => chat(`"user":"${"x".repeat(bytes)}"`),
  "stop texts": (bytes) => chat(`"stop":[${items(Math.min(bytes, 33_000), `"${"ab".repeat(500)}"`)}]`),
  "many stop texts": (bytes) => chat(`"stop":[${items(bytes, '"a"')}]`),
  biases: (bytes) => chat(`"logit_bias":{${keys(bytes, "1")}}`),
  tools: (bytes) =>
    chat(`"tools":[${items(bytes, '{"type":"function","function":{"name":"f"}}')}],"tool_choice":"none"`),
  "a variable of numbers": (bytes) => chat(`"chat_template_kwargs":{"a":[${items(bytes, "1.0")}]}`),
  "many documents": (bytes) => chat(`"documents":[${items(bytes, '{"1":1.0}')}]`),
  modalities: (bytes) => chat(`"modalities":[${items(bytes, '"text"')}]`),
  "a schema of properties": (bytes) => schema(`{"type":"object","properties":{${keys(bytes, "{}")}}}`),
  "a schema of branches": (bytes) => schema(`{"anyOf":[${items(bytes, '{"minimum":1}')}]}`),
  "a schema of values": (bytes) => schema(`{"enum":[${items(bytes, "1.5")}]}`),
  "a schema of one long name": (bytes) =>
    schema(`{"type":"object","properties":{"${"x".repeat(bytes)}":{}},"additionalProperties":true}`),
};

const COMPLETIONS: Readonly<Record<string, (bytes: number) => string>> = {
  "token ids": (bytes) => `{"model":"rehearsal","prompt":[${items(bytes, "0")}]}`,
  "wrong token ids": (bytes) => `{"model":"rehearsal","prompt":[0,${items(bytes, "-1")}]}`,
  "lists of token ids": (bytes) => `{"model":"rehearsal","prompt":[${items(bytes, "[]")}]}`,
  "128 texts": (bytes) =>
    `{"model":"rehearsal","prompt":[${Array(128)
      .fill(`"${"x".repeat(bytes / 130)}"`)
      .join()}]}`,
};

const EMBEDDINGS: Readonly<Record<string, (bytes: number) => string>> = {
  texts: (bytes) => `{"model":"rehearsal","input":[${items(bytes, '"a"')}]}`,
  "2048 texts": (bytes) =>
    `{"model":"rehearsal","input":[${Array(2048)
      .fill(`"${"x".repeat(bytes / 2060)}"`)
      .join()}]}`,
  "token ids": (bytes) => `{"model":"rehearsal","input":[${items(bytes, "0")}]}`,
};

const input = (datatype: string, shape: readonly number[], data: string): string =>
  `{"inputs":[{"name":"text_input","datatype":"${datatype}","shape":[${shape.join()}],"data":[${data}]}]}`;
/** Elements of so many bytes of JSON in a tensor that says how many they are. */
const elements = (datatype: string, item: string) => (bytes: number) => {
  const count = Math.floor(bytes / (item.length + 1)) + 1;
  return input(datatype, [count], items(bytes, item));
};

const INFER: Readonly<Record<string, (bytes: number) => string>> = {
  "small numbers": elements("INT8", "1"),
  "long numbers": elements("INT64", "-9223372036854775808"),
  fractions: elements("FP32", "-0.12345678901234567"),
  "half numbers": elements("FP16", "1.5"),
  truths: elements("BOOL", "true"),
  "short texts": elements("BYTES", '""'),
  "texts of escapes": elements("BYTES", `"${"\\u4e00".repeat(100)}"`),
  "one text": (bytes) => input("BYTES", [1], `"${"x".repeat(bytes)}"`),
  "numbers in lists of one": (bytes) => input("INT8", [Math.floor(bytes / 4) + 1, 1], items(bytes, "[1]")),
  "lists that open": (bytes) => input("INT8", [1], "[".repeat(bytes)),
  "objects in place of numbers": (bytes) => input("INT8", [1], items(bytes, "{}")),
  "a shape that lies": (bytes) => input("FP64", [2 ** 40], items(bytes, "1")),
  inputs: (bytes) => `{"inputs":[${items(bytes, '{"name":"a","datatype":"INT8","shape":[1],"data":[1]}')}]}`,
  parameters: (bytes) => `{"inputs":[],"parameters":{${keys(bytes, "1")}}}`,
  "a wide shape": (bytes) => `{"inputs":[{"name":"a","datatype":"INT8","shape":[${items(bytes, "1")}],"data":[1]}]}`,
};

const GENERATE: Readonly<Record<string, (bytes: number) => string>> = {
  "one text": (bytes) => `{"text_input":"${"x".repeat(bytes)}"}`,
  texts: (bytes) => `{"text_input":[${items(bytes, '"a"')}]}`,
  "128 texts": (bytes) =>
    `{"text_input":[${Array(128)
      .fill(`"${"x".repeat(bytes / 130)}"`)
      .join()}]}`,
  "parameters beside it": (bytes) => `{"text_input":"a",${keys(bytes, "1")}}`,
  "a long list": (bytes) => `{"text_input":"a","parameters":{"stop":[${items(bytes, '"a"')}]}}`,
};

const cases = Object.entries({
  "v1/chat/completions": CHAT,
  "v1/completions": COMPLETIONS,
  "v1/embeddings": EMBEDDINGS,
  "v2/models/rehearsal/infer": INFER,
  "v2/models/tensors/infer": INFER,
  "v2/models/rehearsal/generate": GENERATE,
}).flatMap(([route, bodies]) =>
  Object.entries(bodies).flatMap(([name, make]) => SIZES.map((bytes) => [route, name, bytes, make] as const)),
);

describe("no body holds the event loop", () => {
  it.each(cases)("%s: %s, %d bytes", async (route, _, bytes, make) => {
    const body = sharedBytes(make(bytes));
    const held = await heldShare(async () => {
      const { status, text } = await client.post(`${rehearsal.url}/${route}`, body);
      expect([200, 400], text).toContain(status);
      if (status === 400) expect(text.length).toBeLessThan(1800);
    });
    expect(held).toBeLessThanOrEqual(1);
  });
});
