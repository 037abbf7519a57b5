import OpenAI from "openai";
import OpenAI6 from "openai6";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Program, readBoard, startProgram } from "../support/program.ts";

// The official client against the whole program with the model that ships: hub, frontend and worker are processes.
let program: Program;
let url: string;
let model: string;

beforeAll(async () => {
  program = startProgram(["up", "--workers", "1", "--http-port", "0"]);
  await program.until(/Try it:/);
  url = `http://${readBoard(program).get("frontend")!.address}`;
  const listed = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  model = listed.data[0]!.id;
}, 60_000);
afterAll(() => program.close());

const messages = [{ role: "user" as const, content: "What is the capital of Japan?" }];

for (const [major, Constructor] of [
  ["7", OpenAI],
  ["6", OpenAI6],
] as const) {
  describe(`openai ${major} and the whole program`, () => {
    let client: OpenAI;
    beforeAll(() => {
      client = new Constructor({ apiKey: "none", baseURL: `${url}/v1`, maxRetries: 0 }) as unknown as OpenAI;
    });

    it("streams what it answers", async (context) => {
      if (model.includes("mock")) context.skip("the llama engine is not built: npm run build:native");
      const { choices, usage } = await client.chat.completions.create({ model, messages, temperature: 0 });
      expect(choices[0]?.message.content).toContain("Tokyo");
      let text = "";
      const stream = await client.chat.completions.create({ model, messages, temperature: 0, stream: true });
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
      expect(text).toBe(choices[0]?.message.content);
      expect(usage?.completion_tokens).toBeGreaterThan(0);
    });

    it("scores a prompt as if each of its tokens had been drawn after those before it", async () => {
      const prompt = [301, 412, 377, 905, 640, 1201, 333, 418, 512, 777];
      const ask = { model, temperature: 0, logprobs: 2 };
      const echoed = await client.completions.create({ ...ask, prompt, echo: true, max_tokens: 0 });
      const { token_logprobs: scores, tokens, top_logprobs: top } = echoed.choices[0]!.logprobs!;
      expect([scores![0], scores!.length, tokens!.length]).toEqual([null, prompt.length, prompt.length]);
      expect(echoed.choices[0]!.text).toBe(tokens!.join(""));
      expect(echoed.usage).toMatchObject({ prompt_tokens: prompt.length, completion_tokens: 0 });
      for (const [at, token] of prompt.entries()) {
        if (at === 0) continue;
        const before = { prompt: prompt.slice(0, at), logit_bias: { [token]: 100 }, max_tokens: 1 };
        const forced = (await client.completions.create({ ...ask, ...before })).choices[0]!;
        expect(forced.text).toBe(tokens![at]);
        const { token_logprobs: drawn, top_logprobs: best } = forced.logprobs!;
        expect(Math.abs(scores![at]! - drawn![0]!)).toBeLessThan(model.includes("mock") ? 1e-6 : 0.2);
        expect(Object.keys(top![at]!).length).toBe(Object.keys(best![0]!).length);
      }
    });

    it("keeps to a schema", async (context) => {
      if (model.includes("mock")) context.skip("the llama engine is not built: npm run build:native");
      const schema = {
        type: "object",
        properties: { city: { type: "string", maxLength: 12 }, size: { enum: ["small", "large"] } },
        required: ["city", "size"],
        additionalProperties: false,
      };
      const answer = await client.chat.completions.create({
        model,
        messages,
        seed: 3,
        max_tokens: 100,
        response_format: { type: "json_schema", json_schema: { name: "city", strict: true, schema } },
      });
      const city = JSON.parse(answer.choices[0]?.message.content ?? "") as { city: string; size: string };
      expect(Object.keys(city)).toEqual(["city", "size"]);
      expect(["small", "large"]).toContain(city.size);
    });

    it("answers the same to the same seed, and scores its tokens", async () => {
      const ask = () =>
        client.completions.create({ model, prompt: "Once upon a time", max_tokens: 12, seed: 11, n: 2, logprobs: 2 });
      const [first, second] = [await ask(), await ask()];
      expect(first.choices.map(({ text }) => text)).toEqual(second.choices.map(({ text }) => text));
      expect(first.choices[0]?.logprobs?.tokens?.join("")).toBe(first.choices[0]?.text);
    });

    it("embeds", async () => {
      const { data } = await client.embeddings.create({ model, input: ["a duck", "a duck", "the river"] });
      expect(data[0]?.embedding).toEqual(data[1]?.embedding);
      expect(data[0]?.embedding).not.toEqual(data[2]?.embedding);
    });

    it("aborts, and the worker has its place back", async () => {
      const stream = await client.completions.create({ model, prompt: "One", max_tokens: 1500, stream: true });
      for await (const _ of stream) break;
      const open = async (): Promise<string> => (await fetch(`${url}/metrics`)).text();
      while (!/stator_dispatch_open_requests 0\n/.test(await open()))
        await new Promise((resolve) => setTimeout(resolve, 10));
    });

    it("tells errors", async () => {
      const create = (fields: object) => client.chat.completions.create({ model, messages, ...fields });
      await expect(create({ temperature: 3 })).rejects.toMatchObject({ status: 400, param: "temperature" });
      await expect(create({ model: "nothing" })).rejects.toMatchObject({ status: 404, code: "model_not_found" });
      const long = [{ role: "user" as const, content: "word ".repeat(100_000) }];
      await expect(create({ messages: long })).rejects.toMatchObject({ status: 400, code: "context_length_exceeded" });
    });
  });
}
