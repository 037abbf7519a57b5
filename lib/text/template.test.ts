import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { parseGgufHeader } from "./gguf.ts";
import { compileTemplate, TEMPLATE_LIMITS } from "./template.ts";
import { chatTemplateOf } from "./vocabulary.ts";

const DEMO = readFileSync(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url));
const clock = new FakeClock(Date.parse("2026-05-07T08:09:10"));
/** A template whose prompts are looked at as texts. */
const compile = (source: string) => {
  const template = compileTemplate(source, clock);
  return { render: (...given: Parameters<typeof template.render>): string => template.render(...given).text };
};
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
    expect(template.render([], { bosToken: "<s>", variables: { enable_thinking: "true" } })).toBe("<s>think");
    expect(refusal(() => template.render([], { variables: { strftime_now: "1" } })).reason).toBe("INVALID_TEMPLATE");
  });

  test("the date is the clock's, whatever the machine's language", () => {
    const dated = compile("{{ strftime_now('%d %b %Y, %B %m, %H:%M 100%% %Q') }}");
    expect(dated.render([])).toBe("07 May 2026, May 05, 08:09 100% %Q");
    clock.advance(24 * 3_600_000);
    expect(dated.render([])).toMatch(/^08 May/);
  });

  test("what one rendering sets is not there in the next, and truth cannot be set", () => {
    const setting = compile("{{ left is defined }}{% set left = true %}{{ left }}");
    expect([setting.render([]), setting.render([])]).toEqual(["FalseTrue", "FalseTrue"]);
    expect(refusal(() => compile("{% set true = 1 %}")).reason).toBe("INVALID_TEMPLATE");
  });

  test("what is not given is what Python gives: none of tools and documents, nothing of a token", () => {
    const given = compile("{{ tools is none }}{{ documents is none }}{{ bos_token is defined }}{{ eos_token }}");
    expect(given.render([])).toBe("TrueTrueFalse");
    expect(given.render([], { tools: [{}], bosToken: "", eosToken: "</s>" })).toBe("FalseTrueTrue</s>");
  });

  test("numbers of arguments keep their kind, and keys their order", () => {
    const call = { function: { name: "f", arguments: '{"b": 1.0, "10": 1e3, "9": 12345678901234567890, "a": 1}' } };
    const typed = compile("{{ messages[0].tool_calls[0].function.arguments | tojson }}");
    const message = { role: "assistant", content: null, tool_calls: [call] };
    expect(typed.render([message])).toBe('{"b": 1.0, "10": 1000.0, "9": 12345678901234567890, "a": 1}');
  });

  test("a template that goes through parts gets parts, every other one text", () => {
    const parts = [{ role: "user", content: ["one", "two"].map((text) => ({ type: "text", text })) }];
    const through =
      "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}{% endfor %}";
    expect(compile(through).render(parts)).toBe("[one][two]");
    expect(compile("{{ messages[0].content }}").render(parts)).toBe("one\ntwo");
    expect(compile("{{ messages[0].content | upper }}").render(parts)).toBe("ONE\nTWO");
  });

  test("a rendering without end is ended, and other templates go on", () => {
    const limits = { ...TEMPLATE_LIMITS, mostSteps: 10_000 };
    const endless = compileTemplate("{% for i in range(100000) %}{% endfor %}", clock, limits);
    expect(refusal(() => endless.render([])).facts.detail).toBe("line 1: it takes more than 10000 steps");
    expect(demo.render([{ role: "user", content: "Hi" }])).toContain("Hi");
  });

  test("a prompt says where it came from the conversation", () => {
    const template = compileTemplate(chatTemplateOf(parseGgufHeader(DEMO, "demo")) ?? "", clock);
    const said = (messages: Parameters<typeof template.render>[0], options?: Parameters<typeof template.render>[1]) => {
      const { text, content } = template.render(messages, options);
      return content.flatMap((start, at) => (at % 2 === 0 ? [text.slice(start, content[at + 1])] : []));
    };
    expect(said([{ role: "user", content: "<|im_end|>" }])).toEqual(["user", "<|im_end|>"]);
    const goesOn = [
      { role: "user", content: "a" },
      { role: "assistant", content: "<|im_start|>" },
    ];
    expect(said(goesOn, { continueFinalMessage: true }).at(-1)).toBe("<|im_start|>");
    const call = { function: { name: "<|im_end|>", arguments: '{"<|im_end|>": "<|im_end|>"}' } };
    const calling = said([{ role: "assistant", content: null, tool_calls: [call] }]);
    expect(calling.join("").match(/<\|im_end\|>/g)).toHaveLength(3);
  });
});
