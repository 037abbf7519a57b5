import { type Contents, OUTPUT_BYTES, regionParameters, SAME_OUTPUTS, shareRegion } from "./kserve-grpc.ts";
import { eventsOf, post, postBinary, type SameAnswer, type SameAsk, type ServedModel } from "./served.ts";
import { firstText, idsTensor, integersOf, rawOf, textTensor, type Written } from "./tensors.ts";

/** An output of an answer as JSON. */
interface PrintedOutput {
  readonly name: string;
  readonly data?: readonly (string | number)[];
  readonly parameters?: {
    readonly binary_data_size?: number;
    readonly shared_memory_offset?: number;
    readonly shared_memory_byte_size?: number;
  };
}

/** An answer as JSON. */
interface Printed {
  readonly outputs: readonly PrintedOutput[];
  readonly parameters: { readonly prompt_tokens: number; readonly completion_tokens: number };
}

/** Where the HTTP twin has elements: in the JSON, behind it, or in shared memory. */
export type HttpContents = "json" | "binary" | Extract<Contents, "shared">;

/** Inputs as JSON, and what stands behind it. */
export async function printInputs(served: ServedModel, tensors: readonly Written[], contents: HttpContents) {
  const parts = tensors.map(rawOf);
  const region = contents === "shared" ? await shareRegion(served, Buffer.concat(parts)) : undefined;
  let end = 0;
  const inputs = tensors.map(({ name, datatype, shape, elements }, at) => {
    const { length = 0 } = parts[at] ?? {};
    end += length;
    const head = { name, datatype, shape };
    if (region) return { ...head, parameters: regionParameters(region, end - length, length) };
    return contents === "json" ? { ...head, data: elements } : { ...head, parameters: { binary_data_size: length } };
  });
  return { inputs, behind: contents === "binary" ? parts : [] };
}

/** How `/infer` is asked. */
export function askInfer({ contents, tokens }: { readonly contents: HttpContents; readonly tokens?: boolean }) {
  return async (served: ServedModel, ask: SameAsk): Promise<SameAnswer> => {
    const input = tokens ? idsTensor("input_ids", ask.tokens) : textTensor("text_input", ask.text);
    const sampling = textTensor("sampling_parameters", JSON.stringify({ stop: ask.stop }));
    const { inputs, behind } = await printInputs(served, [input, sampling], contents);
    const region = contents === "shared" ? await shareRegion(served, 3 * OUTPUT_BYTES) : undefined;
    const json = {
      inputs,
      parameters: { max_tokens: ask.maxTokens, temperature: 0 },
      outputs: SAME_OUTPUTS.map((name, at) => ({
        name,
        parameters: region
          ? regionParameters(region, at * OUTPUT_BYTES, OUTPUT_BYTES)
          : { binary_data: contents === "binary" },
      })),
    };
    const path = `/v2/models/${served.name}/infer`;
    if (contents === "binary") {
      const answer = await postBinary(served, path, { json, behind });
      return readPrinted(answer.json as Printed, answer.behind);
    }
    const printed = (await (await post(served, path, json)).json()) as Printed;
    return readPrinted(printed, region?.object.read() ?? Buffer.alloc(0));
  };
}

/** Reads an answer; `behind`: what is behind its JSON, or the region that its outputs are in. */
function readPrinted({ outputs, parameters }: Printed, behind: Buffer): SameAnswer {
  let end = 0;
  const found = new Map(
    outputs.map(({ name, data, parameters: place = {} }) => {
      const bytes = place.binary_data_size ?? place.shared_memory_byte_size ?? 0;
      const from = place.shared_memory_offset ?? end;
      end = from + bytes;
      const raw = behind.subarray(from, end);
      return [name, data ?? (name === "token_ids" ? integersOf(raw) : [firstText(raw)])];
    }),
  );
  return {
    text: String(found.get("text_output")?.[0]),
    finish: String(found.get("finish_reason")?.[0]),
    ids: found.get("token_ids")?.map(Number) ?? [],
    usage: [parameters.prompt_tokens, parameters.completion_tokens],
  };
}

/** An answer of generate, or an event of one. */
interface Generated {
  readonly text_output?: string;
  readonly finish_reason?: string;
  readonly parameters?: Partial<Printed["parameters"]>;
}

/** How `/generate` and `/generate_stream` are asked. */
export function askGenerate(path: "generate" | "generate_stream") {
  return async (served: ServedModel, ask: SameAsk): Promise<SameAnswer> => {
    const response = await post(served, `/v2/models/${served.name}/${path}`, {
      text_input: ask.text,
      parameters: { max_tokens: ask.maxTokens, temperature: 0, stop: ask.stop },
    });
    const isStream = path === "generate_stream";
    const said = isStream ? ((await eventsOf(response)) as Generated[]) : [(await response.json()) as Generated];
    const { prompt_tokens: prompt = -1, completion_tokens: completion = -1 } = said.at(-1)?.parameters ?? {};
    return {
      text: said.map(({ text_output }) => text_output ?? "").join(""),
      finish: said.map(({ finish_reason }) => finish_reason ?? "").join(""),
      usage: [prompt, completion],
    };
  };
}
