import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ModelInferRequestSchema, ModelInferResponse } from "#gen/inference/infer_pb";
import type { ModelMetadataResponse } from "#gen/inference/metadata_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { viewBytes } from "#lib/base/bytes";
import { type Client, createClient } from "#lib/rpc/client";
import type { Check } from "../check.ts";
import { claimed, expect, Unclaimed } from "../failure.ts";
import { CODE, codeName, statusOfCall } from "../openengine/engine-caller.ts";
import { inTime, type ServiceBench } from "./service-bench.ts";

const OF = "docs/conformance.md";
const NOBODY = "conform-no-such-model";
const SIZES: Readonly<Record<string, number>> = {
  ...{ BOOL: 1, INT8: 1, UINT8: 1, INT16: 2, UINT16: 2, FP16: 2, BF16: 2 },
  ...{ INT32: 4, UINT32: 4, FP32: 4, INT64: 8, UINT64: 8, FP64: 8 },
};

type Infer = MessageInitShape<typeof ModelInferRequestSchema>;

/** What a server of the Open Inference Protocol promises, as far as it can be asked without knowing its models. */
export const KSERVE_CHECKS: readonly Check<ServiceBench>[] = [
  {
    name: "is live",
    sentence:
      "ServerLive tells that the process runs, ServerReady that all its models can be asked, ModelReady the same of one.",
    of: OF,
    async run(bench) {
      expect((await clientOf(bench).serverLive({})).live, "ServerLive says that it is not");
    },
  },
  {
    name: "is ready",
    sentence:
      "ServerLive tells that the process runs, ServerReady that all its models can be asked, ModelReady the same of one.",
    of: OF,
    async run(bench) {
      expect((await clientOf(bench).serverReady({})).ready, "ServerReady says that it is not");
    },
  },
  {
    name: "says what it is",
    sentence: "ServerMetadata names the server and its version.",
    of: OF,
    async run(bench) {
      const { name, version } = await clientOf(bench).serverMetadata({});
      expect(name !== "" && version !== "", `the name is "${name}" and the version "${version}"`);
    },
  },
  {
    name: "is ready with its model",
    sentence:
      "ServerLive tells that the process runs, ServerReady that all its models can be asked, ModelReady the same of one.",
    of: OF,
    async run(bench) {
      const { name } = await modelOf(bench);
      expect((await clientOf(bench).modelReady({ name })).ready, `ModelReady says that ${name} is not`);
    },
  },
  {
    name: "is not ready with a model that it does not have",
    sentence: "A model that the server does not have is not ready, or NOT_FOUND where it is asked for anything else.",
    of: OF,
    async run(bench) {
      const asked = clientOf(bench).modelReady({ name: NOBODY });
      const { code } = await statusOfCall(asked);
      expect(
        code === CODE.notFound || (code === CODE.ok && !(await asked).ready),
        `ModelReady answers ${codeName(code)}`,
      );
    },
  },
  {
    name: "describes the tensors of its model",
    sentence: "ModelMetadata names each input and output with datatype and shape; -1 stands for any length.",
    of: OF,
    async run(bench) {
      const { inputs, outputs } = await modelOf(bench);
      expect(
        inputs.length > 0 && outputs.length > 0,
        `${inputs.length} inputs and ${outputs.length} outputs are named`,
      );
      for (const { name, datatype, shape } of [...inputs, ...outputs]) {
        expect(name !== "" && (datatype in SIZES || datatype === "BYTES"), `${name} has the datatype "${datatype}"`);
        expect(
          shape.every((length) => length >= -1n),
          `${name} has the shape ${shape.join(", ")}`,
        );
      }
    },
  },
  {
    name: "does not describe a model that it does not have",
    sentence: "A model that the server does not have is not ready, or NOT_FOUND where it is asked for anything else.",
    of: OF,
    async run(bench) {
      const { code } = await statusOfCall(clientOf(bench).modelMetadata({ name: NOBODY }));
      expect(code === CODE.notFound, `ModelMetadata answers ${codeName(code)}`);
    },
  },
  {
    name: "infers from raw contents",
    sentence:
      "raw_input_contents has one entry for each input, in their order, little endian; BYTES elements have their length before them.",
    of: OF,
    async run(bench) {
      checkAnswer(await infer(bench, rawRequest(await modelOf(bench))));
    },
  },
  {
    name: "infers from typed contents",
    sentence: "A request has raw contents or typed ones, not both; both are taken.",
    of: OF,
    async run(bench) {
      checkAnswer(await infer(bench, typedRequest(await modelOf(bench))));
    },
  },
  {
    name: "echoes the id of a request and names the model",
    sentence: "An answer has the id of its request and the name of the model.",
    of: OF,
    async run(bench) {
      const model = await modelOf(bench);
      const answer = await infer(bench, { ...rawRequest(model), id: "conform-id" });
      expect(answer.id === "conform-id", `the id is "${answer.id}"`);
      expect(answer.modelName === model.name, `model_name is "${answer.modelName}"`);
    },
  },
  {
    name: "refuses a model that it does not have",
    sentence: "A model that the server does not have is not ready, or NOT_FOUND where it is asked for anything else.",
    of: OF,
    async run(bench) {
      const request = { ...rawRequest(await modelOf(bench)), modelName: NOBODY };
      await expectRefused(bench, request, [CODE.notFound, CODE.invalid]);
    },
  },
  {
    name: "refuses an input that its model does not have",
    sentence: "A request that does not fit its model is INVALID_ARGUMENT, and the message says why.",
    of: OF,
    async run(bench) {
      const request = rawRequest(await modelOf(bench));
      const [first, ...rest] = request.inputs ?? [];
      await expectRefused(bench, { ...request, inputs: [{ ...first, name: NOBODY }, ...rest] as never }, [
        CODE.invalid,
      ]);
    },
  },
  {
    name: "refuses contents that do not fit their shape",
    sentence: "A request that does not fit its model is INVALID_ARGUMENT, and the message says why.",
    of: OF,
    async run(bench) {
      const request = rawRequest(await modelOf(bench));
      const [, ...rest] = request.rawInputContents ?? [];
      await expectRefused(bench, { ...request, rawInputContents: [Uint8Array.of(1, 2, 3), ...rest] }, [CODE.invalid]);
    },
  },
  {
    name: "answers on a stream, and an error there ends no other request",
    sentence: "On ModelStreamInfer a request that fails gets an error_message with its id, and the stream goes on.",
    of: OF,
    async run(bench) {
      const request = rawRequest(await modelOf(bench));
      const requests = async function* () {
        yield { ...request, modelName: NOBODY, id: "bad" };
        yield { ...request, id: "good" };
      };
      const answers = clientOf(bench).modelStreamInfer(requests(), { signal: bench.signal });
      const { isRefused, isAnswered } = await inTime(bench, "the end of the stream", readBoth(answers));
      expect(isRefused, "no error_message came for the request that cannot be answered");
      expect(isAnswered, "the request behind it was not answered");
    },
  },
];

async function readBoth(answers: AsyncIterable<{ errorMessage: string; inferResponse?: ModelInferResponse }>) {
  let [isRefused, isAnswered] = [false, false];
  for await (const { errorMessage, inferResponse } of answers) {
    if (errorMessage !== "") isRefused = true;
    else if (inferResponse?.id === "good") isAnswered = true;
  }
  return { isRefused, isAnswered };
}

function clientOf({ transport }: ServiceBench): Client<typeof GRPCInferenceService> {
  return createClient(GRPCInferenceService, transport);
}

/** The model that is asked, by the server's own words. */
async function modelOf(bench: ServiceBench): Promise<ModelMetadataResponse> {
  const client = clientOf(bench);
  let name = bench.model;
  if (name === undefined) {
    const { models } = await client.repositoryIndex({}).catch(() => {
      throw new Unclaimed("it has no RepositoryIndex: name a model (--model-name)");
    });
    name = models[0]?.name;
    claimed(name, "RepositoryIndex names no model");
  }
  return client.modelMetadata({ name });
}

function infer(bench: ServiceBench, request: Infer): Promise<ModelInferResponse> {
  return inTime(bench, "the answer", clientOf(bench).modelInfer(request));
}

/** A length for each dimension: one where any will do. */
function shapeOf(shape: readonly bigint[]): bigint[] {
  return shape.map((length) => (length < 1n ? 1n : length));
}

function countOf(shape: readonly bigint[]): number {
  return Number(shapeOf(shape).reduce((product, length) => product * length, 1n));
}

/** Inputs that a model surely has no use for are left out: those of text models beside their text are optional. */
function inputsOf({ inputs }: ModelMetadataResponse) {
  const text = inputs.find(({ name }) => name === "text_input");
  return text ? [text] : inputs;
}

function rawRequest(model: ModelMetadataResponse): Infer {
  const inputs = inputsOf(model);
  return {
    modelName: model.name,
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shapeOf(shape) })),
    rawInputContents: inputs.map(({ datatype, shape }) => {
      const count = countOf(shape);
      if (datatype !== "BYTES") return new Uint8Array(count * (SIZES[datatype] ?? 1));
      const element = [...viewBytes(Uint32Array.of(2)), ...new TextEncoder().encode("hi")];
      return Uint8Array.from(Array.from({ length: count }, () => element).flat());
    }),
  };
}

function typedRequest(model: ModelMetadataResponse): Infer {
  return {
    modelName: model.name,
    inputs: inputsOf(model).map(({ name, datatype, shape }) => {
      const contents = contentsOf(datatype, countOf(shape));
      return { name, datatype, shape: shapeOf(shape), contents };
    }),
  };
}

function contentsOf(datatype: string, count: number) {
  const fill = <Value>(value: Value): Value[] => Array.from({ length: count }, () => value);
  switch (datatype) {
    case "BYTES":
      return { bytesContents: fill(new TextEncoder().encode("hi")) };
    case "BOOL":
      return { boolContents: fill(false) };
    case "INT64":
      return { int64Contents: fill(0n) };
    case "UINT64":
      return { uint64Contents: fill(0n) };
    case "FP32":
      return { fp32Contents: fill(0) };
    case "FP64":
      return { fp64Contents: fill(0) };
    case "FP16":
    case "BF16":
      throw new Unclaimed(`${datatype} has no typed contents`);
    default:
      return datatype.startsWith("U") ? { uintContents: fill(0) } : { intContents: fill(0) };
  }
}

/** Fails unless each output has contents of its shape. */
function checkAnswer({ outputs, rawOutputContents }: ModelInferResponse): void {
  expect(outputs.length > 0, "the answer has no outputs");
  if (rawOutputContents.length === 0) return;
  expect(
    rawOutputContents.length === outputs.length,
    `${rawOutputContents.length} contents for ${outputs.length} outputs`,
  );
  for (const [at, { name, datatype, shape }] of outputs.entries()) {
    const size = SIZES[datatype];
    if (size === undefined) continue;
    const bytes = size * Number(shape.reduce((product, length) => product * length, 1n));
    expect(
      rawOutputContents[at]!.length === bytes,
      `${name} has ${rawOutputContents[at]!.length} bytes, its shape ${bytes}`,
    );
  }
}

async function expectRefused(bench: ServiceBench, request: Infer, codes: readonly number[]): Promise<void> {
  const { code, message } = await statusOfCall(infer(bench, request));
  expect(codes.includes(code), `ModelInfer answers ${codeName(code)}, not ${codes.map(codeName).join(" or ")}`);
  expect(message !== "", "it was refused without a word");
}
