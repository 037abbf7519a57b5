import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";
import { describe, expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { parseGgufHeader } from "./gguf.ts";
import { compileTemplate } from "./template.ts";
import { chatTemplateOf } from "./vocabulary.ts";

const DEMO = readFileSync(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url));
const clock = new FakeClock(Date.parse("2026-05-07T08:09:10"));
const compile = (source: string) => compileTemplate(source, clock);
const demo = compile(chatTemplateOf(parseGgufHeader(DEMO, "demo")) ?? "");
const chatml = compile(
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
);

function refusal(run: () => unknown): StatorError {
  try {
    run();
  } catch (error) {
    if (error instanceof StatorError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("chat template", () => {
  test("of the demo model", () => {
    expect(
      demo.render([
        { role: "system", content: "Be kind." },
        { role: "user", content: "Hi" },
      ]),
    ).toBe("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    expect(demo.render([{ role: "user", content: "Hi" }], { addGenerationPrompt: false })).toBe(
      "<|im_start|>user\nHi<|im_end|>\n",
    );
  });

  test("with tools, calls whose arguments are JSON text, and answers", () => {
    const tool = { type: "function", function: { name: "add", parameters: { type: "object" } } };
    const messages = [
      { role: "user", content: "1 + 2?" },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "1", type: "function", function: { name: "add", arguments: '{"a":1,"b":2}' } }],
      },
      { role: "tool", tool_call_id: "1", content: '{"result": 3}' },
    ];
    const rendered = demo.render(messages, { tools: [tool] });
    expect(rendered).toContain(
      '<tools>\n{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}\n</tools>',
    );
    expect(rendered).toContain('<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>');
    expect(rendered).toContain('<|im_start|>tool\n{"result": 3}<|im_end|>');
  });

  test("arguments that are no JSON object stay text", () => {
    const call = (given: unknown) => ({
      role: "assistant",
      content: "",
      tool_calls: [{ function: { name: "f", arguments: given } }],
    });
    expect(demo.render([call("not json")])).toContain('"arguments": not json}');
    expect(demo.render([call("")])).toContain('"arguments": {}}');
  });

  test("text parts are joined, others are refused by name", () => {
    const parts = [
      { type: "text", text: "one" },
      { type: "text", text: "two" },
    ];
    expect(demo.render([{ role: "user", content: parts }])).toContain("user\none\ntwo<|im_end|>");
    const error = refusal(() => demo.render([{ role: "user", content: [{ type: "image_url" }] }]));
    expect(error.reason).toBe("UNSUPPORTED_FIELD");
    expect(error.param).toBe("messages[0].content[0]");
  });

  test("a developer is a system to a template that does not know the role", () => {
    expect(demo.render([{ role: "developer", content: "x" }])).toContain("<|im_start|>system\nx");
    expect(compile("{# developer #}{{ messages[0].role }}").render([{ role: "developer" }])).toBe("developer");
  });

  test("goes on with the final message, even where the template trims", () => {
    const messages = [
      { role: "user", content: "Count." },
      { role: "assistant", content: "One, " },
    ];
    for (const template of [demo, chatml]) {
      expect(template.render(messages, { continueFinalMessage: true })).toMatch(/assistant\nOne, $/);
    }
    for (const run of [
      () => demo.render(messages.slice(0, 1), { continueFinalMessage: true }),
      () => demo.render(messages, { continueFinalMessage: true, addGenerationPrompt: true }),
      () => compile("fixed").render(messages, { continueFinalMessage: true }),
    ]) {
      expect(refusal(run).reason).toBe("INVALID_TEMPLATE");
    }
  });

  test("what a template says reaches the caller as one sentence", () => {
    const strict = compile("{{ raise_exception('Roles must alternate.\\nsecond line') }}");
    const error = refusal(() => strict.render([]));
    expect(error.reason).toBe("INVALID_TEMPLATE");
    expect(error.facts.detail).toBe("Roles must alternate.");
    expect(refusal(() => compile("{{ range(1, 2, 0) }}").render([])).facts.detail).toContain("zero");
    expect(refusal(() => compile("{% if %}")).facts.detail).toContain("does not parse");
  });

  test("variables reach the template, and names it has already are refused", () => {
    const template = compile("{{ bos_token }}{% if enable_thinking %}think{% endif %}");
    expect(template.render([], { bosToken: "<s>", variables: { enable_thinking: true } })).toBe("<s>think");
    expect(refusal(() => template.render([], { variables: { strftime_now: 1 } })).reason).toBe("INVALID_TEMPLATE");
  });

  test("the date is the clock's, whatever the machine's language", () => {
    const dated = compile("{{ strftime_now('%d %b %Y, %B %m, %H:%M 100%% %Q') }}");
    expect(dated.render([])).toBe("07 May 2026, May 05, 08:09 100% %Q");
    clock.advance(24 * 3_600_000);
    expect(dated.render([])).toMatch(/^08 May/);
  });

  test("a template has what the library gives it", () => {
    const source =
      "{{ true }} {{ True }} {{ false }} {{ False }} {{ none is none }} {{ None is none }} {{ namespace(a=1).a }}" +
      "{% for at in range(3) %}{{ at }}{% endfor %}{{ range(1, 7, 2) }}{{ range(3, 0, -1) }}{{ range(2, 2) }}";
    const own = compile(source);
    expect(own.render([])).toBe(new Template(source).render({}));
    // What one rendering sets is not there in the next.
    const setting = compile("{{ left is defined }}{% set left = true %}{% set true = 1 %}{{ left }}");
    expect([setting.render([]), setting.render([])]).toEqual(["falsetrue", "falsetrue"]);
  });
});
