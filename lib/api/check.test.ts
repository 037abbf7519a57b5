import { describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { compileCheck } from "./check.ts";
import type { Fields } from "./field.ts";
import { checkChat } from "./openai/chat-fields.ts";
import { checkCompletion } from "./openai/completion-fields.ts";
import { checkEmbedding } from "./openai/embedding-fields.ts";

/** Reason, param and message of what a check throws. */
function refusal(run: () => unknown): { reason: string; param: string | undefined; message: string } {
  try {
    run();
  } catch (error) {
    if (!(error instanceof StatorError)) throw error;
    return { reason: error.reason, param: error.param, message: error.message };
  }
  throw new Error("nothing was refused");
}

const messages = [{ role: "user", content: "hi" }];
const chat = (fields: object) => () => checkChat({ model: "m", messages, ...fields });
const completion = (fields: object) => () => checkCompletion({ model: "m", prompt: "hi", ...fields });

describe("a check", () => {
  it("hands over the body itself and names what has no effect, once", () => {
    const body = {
      model: "m",
      messages: [...messages, { role: "assistant", content: "a", annotations: [1] }],
      store: true,
    };
    const checked = checkChat(body);
    expect(checked.body).toBe(body);
    expect(checked.ignored).toEqual(["messages.annotations", "store"]);
  });

  it("takes null for every optional field and says nothing of harmless values", () => {
    expect(
      chat({ temperature: null, stop: null, tools: [], functions: [], store: false, audio: null })().ignored,
    ).toEqual([]);
    expect(chat({ service_tier: "auto", response_format: { type: "text" } })().ignored).toEqual([]);
  });

  it("tells all mistakes at once", () => {
    const { reason, param, message } = refusal(
      chat({ temperature: 3, max_tokens: 0, tempreature: 1, n: "2", audio: {} }),
    );
    expect(reason).toBe("INVALID_REQUEST");
    expect(param).toBe("temperature");
    expect(message).toBe(
      "The request has several mistakes: temperature: must be a number from 0 to 2, not 3; " +
        "max_tokens: must be a whole number from 1 to 4294967295, not 0; " +
        "unknown field tempreature (did you mean temperature?); n: must be a whole number from 1 to 128, not text; " +
        "audio is not supported: answers are text.",
    );
  });

  it("names unknown fields with the nearest known name", () => {
    expect(refusal(chat({ maxTokens: 3 }))).toEqual({
      reason: "UNKNOWN_FIELD",
      param: "maxTokens",
      message: "Unknown field maxTokens. Did you mean max_tokens?",
    });
    expect(refusal(chat({ frobnicate: 3 })).message).toBe("Unknown field frobnicate.");
    expect(
      refusal(() => checkChat(JSON.parse('{"model":"m","messages":[{"role":"user","content":"a"}],"__proto__":{}}')))
        .param,
    ).toBe("__proto__");
  });

  it("names what a field of other servers is called here, or what is done instead", () => {
    const hints = [
      ["repeat_penalty", "Did you mean repetition_penalty?"],
      ["guided_json", "Did you mean response_format?"],
      ["best_of", "Did you mean n?"],
      ["num_ctx", "The context length is chosen when the server starts."],
      ["skip_special_tokens", "The text of an answer never has special tokens."],
    ] as const;
    for (const [name, hint] of hints)
      expect(refusal(chat({ [name]: 1 })).message).toBe(`Unknown field ${name}. ${hint}`);
    expect(refusal(chat({ num_ctx: 1, n_ctx: 2, maxTokens: 3 })).message).toBe(
      "Unknown field num_ctx, n_ctx, maxTokens. Did you mean max_tokens? The context length is chosen when the server starts.",
    );
    expect(refusal(chat({ num_ctx: 1, n: 0 })).message).toContain("unknown field num_ctx (The context length is");
    // An embedding has no response_format to point at.
    expect(refusal(() => checkEmbedding({ model: "m", input: "a", guided_json: {} })).message).not.toContain("format");
  });

  it("takes unknown fields inside messages and names a bounded number of them", () => {
    const [call, part] = [
      { id: "1", type: "function", index: 0, function: { name: "f", arguments: "{}", parsed: {} } },
      { type: "text", text: "a", cache_control: { type: "ephemeral" } },
    ];
    const sentBack = [
      { role: "user", content: [part] },
      { role: "assistant", tool_calls: [call], reasoning_details: [{}], provider_specific_fields: { a: [1] } },
      { role: "tool", tool_call_id: "1", content: "2", name: "f" },
    ];
    expect(chat({ messages: sentBack })().ignored).toEqual([
      "messages.content.cache_control",
      "messages.tool_calls.index",
      "messages.tool_calls.function.parsed",
      "messages.reasoning_details",
      "messages.provider_specific_fields",
      "messages.name",
    ]);
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`x${at}`, at]));
    const { ignored } = chat({ messages: [{ role: "user", content: "a", ...many }] })();
    expect([ignored.length, ignored[15], ignored[16]]).toEqual([17, "messages.x15", "more"]);
  });

  it("quotes no text of the caller's", () => {
    const secret = "sk-very-secret";
    for (const fields of [
      { model: [secret] },
      { seed: secret },
      { messages: [{ role: secret }] },
      { stop: { [secret]: 1 } },
    ]) {
      expect(refusal(chat(fields)).message).not.toContain(secret);
    }
  });

  it("names the first eight mistakes and counts the others, of whatever kind", () => {
    const many = Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`zz${at}`, 1]));
    expect(refusal(chat(many)).message).toMatch(/^Unknown fields? zz0, .*, zz7, and 1,992 more\.$/);
    const wrong = Array.from({ length: 1500 }, () => ({ role: "user" }));
    expect(refusal(chat({ messages: wrong })).message).toMatch(
      /messages\[7\]\.content: is required; and 1,492 more\.$/,
    );
    expect(refusal(completion({ prompt: [0, ...Array.from({ length: 3000 }, () => -1)] })).message).toMatch(
      /prompt\[8\]: .*; and 2,992 more\.$/,
    );
    expect(refusal(chat({ ...many, n: 0 })).reason).toBe("INVALID_REQUEST");
  });

  it("looks for what was meant by few and short names only", () => {
    expect(refusal(chat({ [`temperature${"_".repeat(40)}`]: 1 })).message).not.toContain("mean");
    const late = Object.fromEntries([...Array.from({ length: 8 }, (_, at) => [`zz${at}`, 1]), ["temprature", 1]]);
    expect(refusal(chat(late)).message).not.toContain("mean");
  });
});

describe("shapes", () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ temperature: -0.1 }, "temperature"],
    [{ temperature: Number.NaN }, "temperature"],
    [{ top_p: -0.1 }, "top_p"],
    [{ top_k: -2 }, "top_k"],
    [{ min_p: 1.5 }, "min_p"],
    [{ repetition_penalty: 0 }, "repetition_penalty"],
    [{ frequency_penalty: 2.5 }, "frequency_penalty"],
    [{ n: 0 }, "n"],
    [{ n: 129 }, "n"],
    [{ seed: 1.5 }, "seed"],
    [{ seed: 2 ** 53 }, "seed"],
    [{ stop: Array.from({ length: 33 }, () => "a") }, "stop"],
    [{ stop: ["a", ""] }, "stop[1]"],
    [{ logit_bias: { "1": 101 } }, "logit_bias.1"],
    [{ logit_bias: { x: 1 } }, "logit_bias.x"],
    [{ top_logprobs: 21, logprobs: true }, "top_logprobs"],
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ max_tokens: 1, max_completion_tokens: 2 }, "max_tokens"],
    [{ min_tokens: 9, max_tokens: 8 }, "min_tokens"],
    [{ stream_options: { include_usage: true } }, "stream_options"],
    [{ stream: true, stream_options: { include_use: true } }, "stream_options.include_use"],
    [{ messages: [] }, "messages"],
    [{ messages: [{ role: "user" }] }, "messages[0].content"],
    [{ messages: [{ role: "function", name: "f", content: "1" }] }, "messages[0].role"],
    [
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }] },
      "messages[0].content[0].type",
    ],
    [{ tools: [{ type: "function", function: { name: "f" } }] }, "tools"],
    [{ tool_choice: "required" }, "tool_choice"],
    [
      { response_format: { type: "json_schema", json_schema: { name: "a b", schema: {} } } },
      "response_format.json_schema.name",
    ],
    [{ response_format: { type: "xml" } }, "response_format.type"],
    [{ cache_salt: "" }, "cache_salt"],
    [{ priority: 2 ** 31 }, "priority"],
    [{ stator: { worker: "zz" } }, "stator.worker"],
    [{ modalities: ["text", "audio"] }, "modalities[1]"],
  ];
  it.each(cases)("refuses %j", (fields, param) => {
    expect(refusal(chat(fields)).param).toBe(param);
  });

  it("refuses what is not an object", () => {
    for (const body of [null, [], "text", 3]) expect(refusal(() => checkChat(body)).reason).toBe("INVALID_FIELD");
  });

  it("refuses values that are nested too deep", () => {
    let schema: unknown = {};
    for (let level = 0; level < 100; level++) schema = { not: schema };
    const format = { type: "json_schema", json_schema: { name: "deep", schema } };
    expect(refusal(chat({ response_format: format })).param).toBe("response_format.json_schema.schema");
  });

  it("takes tools when none may be called, and says that they have no effect", () => {
    const tools = [{ type: "function", function: { name: "f", parameters: {} } }];
    expect(chat({ tools, tool_choice: "none" })().ignored).toEqual(["tools"]);
  });
});

describe("completions and embeddings", () => {
  it("take every form of prompt", () => {
    for (const prompt of ["", "a", ["a", "b"], [1, 2], [[1], [2, 3]]])
      expect(completion({ prompt })().ignored).toEqual([]);
    for (const input of ["a", ["a", "b"], [1, 2], [[1], [2, 3]]])
      expect(checkEmbedding({ model: "m", input }).ignored).toEqual([]);
  });

  it.each([
    [{ prompt: ["a", 1] }, "prompt[1]"],
    [{ prompt: [1, "a"] }, "prompt[1]"],
    [{ prompt: [[1], []] }, "prompt[1]"],
    [{ prompt: [-1] }, "prompt[0]"],
    [{ prompt: {} }, "prompt"],
    [{ prompt: Array.from({ length: 65 }, () => "a"), n: 2 }, "n"],
    [{ logprobs: 6 }, "logprobs"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ echo: true, max_tokens: -1 }, "max_tokens"],
    [{ best_of: 2 }, "best_of"],
    [{ suffix: "x" }, "suffix"],
  ] as const)("refuse %j", (fields, param) => {
    expect(refusal(completion(fields)).param).toBe(param);
  });

  it("say what they take", () => {
    expect(refusal(() => checkEmbedding({ model: "m", input: {} })).message).toContain(
      "or a list of one or more whole numbers from 0 to 4294967295, not an object",
    );
    expect(refusal(completion({ seed: 2 ** 53 })).message).toBe(
      "seed: must be a whole number from -2^63 to 2^63 - 1, written in digits, not 9007199254740992.",
    );
  });

  it("refuse a seed of more than 64 bits", () => {
    for (const seed of [2n ** 63n, -(2n ** 63n) - 1n]) expect(refusal(completion({ seed })).param).toBe("seed");
  });

  it("take a form of the answer, every seed of 64 bits and the sum of nothing", () => {
    for (const fields of [
      { response_format: { type: "json_object" } },
      { seed: -(2n ** 63n) },
      { seed: 2n ** 63n - 1n },
      { top_p: 0 },
    ])
      expect(completion(fields)().ignored).toEqual([]);
  });

  it("take what asks for nothing", () => {
    expect(completion({ best_of: 1, suffix: "" })().ignored).toEqual([]);
  });
});

it("checks a table of its own and its rules, the rules only when every field passed", () => {
  const fields = {
    a: { use: "honoured", shape: { is: "integer" }, about: "" },
    b: { use: "honoured", shape: { is: "integer" }, about: "" },
  } as const satisfies Fields;
  const check = compileCheck(fields, [
    {
      about: "",
      check: ({ a, b }) => ((a ?? 0) > (b ?? 0) ? { kind: "invalid", path: "a", text: "is above b" } : undefined),
    },
  ]);
  expect(refusal(() => check({ a: 2, b: 1 })).message).toBe("a: is above b.");
  expect(refusal(() => check({ a: 2, b: "x" })).param).toBe("b");
});
