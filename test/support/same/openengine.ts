import { FinishReason } from "#gen/openengine/v1/generation_pb";
import { Inference } from "#gen/openengine/v1/openengine_pb";
import { createClient } from "#lib/rpc/client";
import type { SameAnswer, SameAsk, ServedModel } from "./served.ts";

/**
 * Asks the worker itself, as engines are asked in openengine.v1: by tokens. Their ids are not compared: an engine tells those
 * of a stop text too, which other doors leave out with its text.
 */
export async function askOpenEngine({ worker }: ServedModel, ask: SameAsk): Promise<SameAnswer> {
  const answer = createClient(Inference, worker).generate({
    requestId: `same-${++asked}`,
    input: { case: "tokenIds", value: { ids: [...ask.tokens] } },
    sampling: { temperature: 0 },
    stopping: {
      maxTokens: ask.maxTokens,
      conditions: ask.stop.map((value) => ({ condition: { case: "stopText", value } })),
    },
  });
  const said = { text: "", finish: "" };
  let [prompt, completion] = [-1, -1];
  for await (const { event, usage } of answer) {
    if (usage) [prompt, completion] = [usage.promptTokens ?? -1, usage.completionTokens ?? -1];
    if (event.case === "token") said.text += event.value.text;
    else if (event.case === "finished") {
      said.finish = event.value.reason === FinishReason.LENGTH ? "length" : "stop";
    } else if (event.case === "error") throw new Error(event.value.message);
  }
  return { ...said, usage: [prompt, completion] };
}

let asked = 0;
