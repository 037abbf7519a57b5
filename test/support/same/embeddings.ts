import { create } from "@bufbuild/protobuf";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { type Contents, writeInputs } from "./kserve-grpc.ts";
import { printInputs } from "./kserve-http.ts";
import { post, postBinary, type SameAsk, type ServedModel } from "./served.ts";
import { floatsOf, idsTensor, textTensor } from "./tensors.ts";

/** What is to be made a vector. */
type EmbedAsk = Pick<SameAsk, "text" | "tokens">;

function inputOf({ text, tokens }: EmbedAsk, byTokens: boolean) {
  return byTokens ? idsTensor("input_ids", tokens) : textTensor("text_input", text);
}

function askModelInfer(contents: Contents, byTokens: boolean) {
  return async (served: ServedModel, ask: EmbedAsk): Promise<number[]> => {
    const written = await writeInputs(served, [inputOf(ask, byTokens)], contents);
    const about = { modelName: served.name, outputs: [{ name: "embedding" }] };
    const answer = await served.client.modelInfer(create(ModelInferRequestSchema, { ...about, ...written }));
    const typed = answer.outputs[0]?.contents;
    return typed ? [...typed.fp32Contents] : floatsOf(answer.rawOutputContents[0] ?? new Uint8Array(0));
  };
}

function askOpenaiEmbeddings(path: string, byTokens: boolean) {
  return async (served: ServedModel, { text, tokens }: EmbedAsk): Promise<number[]> => {
    const input = byTokens ? tokens : text;
    const response = await post(served, path, { model: served.name, input, encoding_format: "float" });
    const { data } = (await response.json()) as { data: readonly [{ embedding: number[] }] };
    return data[0].embedding.map(Math.fround);
  };
}

async function askBinary(served: ServedModel, ask: EmbedAsk): Promise<number[]> {
  const { inputs, behind } = await printInputs(served, [inputOf(ask, true)], "binary");
  const outputs = [{ name: "embedding", parameters: { binary_data: true } }];
  const answer = await postBinary(served, `/v2/models/${served.name}/infer`, { json: { inputs, outputs }, behind });
  return floatsOf(answer.behind);
}

async function askJson(served: ServedModel, ask: EmbedAsk): Promise<number[]> {
  const { inputs } = await printInputs(served, [inputOf(ask, false)], "json");
  const response = await post(served, `/v2/models/${served.name}/infer`, { inputs, outputs: [{ name: "embedding" }] });
  const { outputs } = (await response.json()) as { outputs: readonly [{ data: number[] }] };
  return outputs[0].data.map(Math.fround);
}

/** Every way to ask for a vector, by its name. A door that comes later is one row more. */
export const SAME_EMBEDDINGS: Readonly<Record<string, (served: ServedModel, ask: EmbedAsk) => Promise<number[]>>> = {
  embeddings: askOpenaiEmbeddings("/v1/embeddings", false),
  "embeddings, tokens": askOpenaiEmbeddings("/v1/embeddings", true),
  "KServe's embeddings": askOpenaiEmbeddings("/openai/v1/embeddings", false),
  "ModelInfer, text_input raw": askModelInfer("raw", false),
  "ModelInfer, text_input typed": askModelInfer("typed", false),
  "ModelInfer, text_input in shared memory": askModelInfer("shared", false),
  "ModelInfer, input_ids raw": askModelInfer("raw", true),
  "ModelInfer, input_ids typed": askModelInfer("typed", true),
  "infer, text_input in JSON": askJson,
  "infer, input_ids in binary": askBinary,
};
