import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { parseJson } from "./json.ts";
import { content, Marked, plain } from "./marked.ts";
import type { TemplateLimits } from "./run.ts";
import { compileJinja } from "./template.ts";
import { Dict, isText, type Value } from "./values.ts";

/** What Python answered: a text, an error while rendering, or one before. */
interface Golden {
  readonly text?: string;
  readonly failed?: string;
  readonly refused?: string;
}

const FIXTURES = new URL("../../../test/fixtures/templates/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, FIXTURES), "utf8");
const goldens = JSON.parse(read("goldens.json")) as {
  readonly constructs: readonly (Golden & { readonly source: string })[];
  readonly chat: readonly (Golden & { readonly template: string; readonly conversation: string })[];
};
const LIMITS: TemplateLimits = { mostSteps: 1_000_000, mostLength: 10_000_000, mostDepth: 64, mostMs: 60_000 };
const clock = new FakeClock(new Date(2026, 4, 7, 8, 9, 10).getTime());

function entries(value: Value | undefined): [string, Value][] {
  if (!(value instanceof Dict)) throw new Error("no object");
  return value.items().map(([key, item]) => [isText(key) ? plain(key) : "", item]);
}

/** What we answer, in the words of a golden. */
function render(source: string, variables: readonly [string, Value][], limits = LIMITS): Golden {
  let template: ReturnType<typeof compileJinja>;
  try {
    template = compileJinja(source, { clock, limits });
  } catch (error) {
    return { refused: detailOf(error) };
  }
  try {
    return { text: plain(template.render(new Map(variables))) };
  } catch (error) {
    return { failed: detailOf(error) };
  }
}

function detailOf(error: unknown): string {
  if (error instanceof StatorError && error.reason === "INVALID_TEMPLATE") return String(error.facts.detail);
  throw error;
}

/** Which way an answer went. What Python notices late we may notice before anybody asks. */
function wayOf({ text, refused }: Golden): string {
  return text === undefined ? (refused === undefined ? "failed" : "refused") : "text";
}

describe("a template means what it means to Python", () => {
  const variables = entries(parseJson(read("variables.json")));
  test.each(goldens.constructs.map((golden) => [golden.source, golden] as const))("%s", (source, golden) => {
    const answer = render(source, variables);
    if (golden.text !== undefined) expect(answer).toEqual({ text: golden.text });
    else if (golden.refused !== undefined) expect(wayOf(answer), answer.text).toBe("refused");
    else expect(answer.text).toBeUndefined();
  });
});

describe("a chat template means what it means to Python", () => {
  const conversations = new Map(entries(parseJson(read("conversations.json"))));
  const common: [string, Value][] = [
    ...([
      ["tools", null],
      ["documents", null],
      ["add_generation_prompt", true],
    ] as [string, Value][]),
    ...([
      ["bos_token", "<s>"],
      ["eos_token", "</s>"],
    ] as [string, Value][]),
  ];
  test.each(goldens.chat.map((golden) => [golden.template, golden.conversation, golden] as const))(
    "%s, %s",
    (file, name, golden) => {
      const answer = render(read(`chat/${file}`), [...common, ...entries(conversations.get(name))]);
      if (golden.text !== undefined) expect(answer).toEqual({ text: golden.text });
      else expect(answer.text).toBeUndefined();
    },
  );
});

describe("a rendering", () => {
  const failure = (source: string, limits: Partial<TemplateLimits> = {}): string =>
    String(render(source, [], { ...LIMITS, ...limits }).failed);

  test("takes no more steps than it may", () => {
    expect(failure("{% for i in range(100) %}{% endfor %}", { mostSteps: 50 })).toBe(
      "line 1: it takes more than 50 steps",
    );
    expect(render("{% for i in range(40) %}{% endfor %}", [], { ...LIMITS, mostSteps: 50 })).toEqual({ text: "" });
    expect(failure("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}")).toContain(
      "steps",
    );
    expect(
      failure("{{ range(100000) | map('string') | map('upper') | list | length }}", { mostSteps: 1000 }),
    ).toContain("steps");
    expect(failure("{% for i in range(100000000) %}{% endfor %}")).toContain("Range too big");
  });

  test("makes no longer text than it may", () => {
    expect(failure("{{ 'x' * 101 }}", { mostLength: 100 })).toBe("line 1: it makes more than 100 characters");
    expect(render("{{ 'x' * 100 }}", [], { ...LIMITS, mostLength: 100 }).text).toHaveLength(100);
    const doubling = "{% set ns = namespace(t='x') %}{% for i in range(64) %}{% set ns.t = ns.t + ns.t %}{% endfor %}";
    expect(failure(`⏎${doubling}`.replace("⏎", "\n"))).toBe("line 2: it makes more than 10000000 characters");
    for (const long of [
      "'%500s' % 'x'",
      "'x'.center(500)",
      "'x' | indent(500)",
      "(['x'] * 90) | join('yyyy')",
      "'{:500}'.format('x')",
      "'aaaaaaaaaa'.replace('a', 'bbbbbbbbbbbbbbbbbbbb')",
    ]) {
      expect(failure(`{{ ${long} }}`, { mostLength: 100 }), long).toContain("more than 100 characters");
    }
  });

  test("goes no deeper than it may", () => {
    const down = "{% macro down(n) %}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}";
    expect(failure(`${down}{{ down(4) }}`, { mostDepth: 4 })).toBe("line 1: it is nested more than 4 deep");
    expect(render(`${down}{{ down(3) }}`, [], { ...LIMITS, mostDepth: 4 })).toEqual({ text: "" });
    expect(failure("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")).toContain("nested more than 64 deep");
    expect(render(`{{ ${"(".repeat(300)}1${")".repeat(300)} }}`, []).refused).toContain("nested more than 200 deep");
  });

  test("takes no more time than it may", () => {
    const slow = new FakeClock(0);
    const limits = { ...LIMITS, mostMs: 10 };
    const template = compileJinja("{% for i in range(100000) %}{% endfor %}", { clock: slow, limits });
    expect(plain(template.render(new Map()))).toBe("");
    const passing = Object.assign(Object.create(slow) as FakeClock, {
      nowMs() {
        slow.advance(1);
        return slow.unixMs();
      },
    });
    const late = compileJinja("{% for i in range(100000) %}{% endfor %}", { clock: passing, limits });
    expect(() => late.render(new Map())).toThrow("more than 10 milliseconds");
  });

  test("ends with the line, and the next one begins anew", () => {
    const template = compileJinja("a\n{{ x.y.z }}", { clock, limits: LIMITS });
    expect(() => template.render(new Map())).toThrow("line 2: 'x' is undefined");
    const value = new Dict();
    value.set("y", "y", new Dict());
    expect(plain(template.render(new Map([["x", value as Value]])))).toBe("a\n");
  });
});

test("what a template does not support is named before anybody asks it", () => {
  const unsupported = [
    "{{ x | pprint }}",
    "{% if false %}{{ x | random }}{% endif %}",
    "{{ x.encode('utf-8') }}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% block a %}{% endblock %}",
    "{% autoescape true %}{% endautoescape %}",
  ];
  for (const source of unsupported)
    expect(render(source, []).refused, source).toMatch(/line 1: the (filter|method|tag) \w+ is not supported/);
  expect(render(`{# ${"x".repeat(1_048_576)} #}`, []).refused).toContain("more than 1048576 characters");
});

describe("what came with a request is told from what the template wrote", () => {
  const marks = (source: string, given = "<|end|>"): string[] => {
    const text = compileJinja(source, { clock, limits: LIMITS }).render(new Map([["c", content(given)]]));
    if (!(text instanceof Marked)) return [];
    return Array.from({ length: text.content.length / 2 }, (_, at) =>
      text.text.slice(text.content[2 * at], text.content[2 * at + 1]),
    );
  };

  test.each([
    ["<|end|>{{ c }}<|end|>", ["<|end|>"]],
    ["{{ '<|end|>' + c + '<|end|>' }}", ["<|end|>"]],
    ["{{ ('<|end|> ' ~ c ~ ' <|end|>') | trim }}", ["<|end|>"]],
    ["{{ ('  ' + c + '  ').strip() }}", ["<|end|>"]],
    ["{{ c | upper }}{{ c | tojson }}", ['<|END|>"<|end|>"']],
    ["{% set x %}<|a|>{{ c }}<|b|>{% endset %}{{ x }}", ["<|end|>"]],
    ["{% macro m(t) %}<|a|>{{ t }}{% endmacro %}{{ m(c) }}{{ m('x') }}", ["<|end|>"]],
    ["{{ '%s-%s' % ('<|a|>', c) }}", ["<|end|>"]],
    ["{{ '{}|{}'.format(c, '<|a|>') }}", ["<|end|>"]],
    ["{{ ['<|a|>', c] | join('<|b|>') }}", ["<|end|>"]],
    ["{{ '<|a|>X'.replace('X', c) }}", ["<|end|>"]],
    ["{{ (c + '<|a|>').replace('a', 'b') }}", ["<|end|>"]],
    ["{{ (c ~ ':<|a|>').split(':')[0] }}{{ (c ~ ':<|a|>').split(':')[1] }}", ["<|end|>"]],
    ["{{ c[2:5] }}<|a|>{{ c[::-1] }}", ["end", ">|dne|<"]],
    ["{{ [c] }}", ["['<|end|>']"]],
    ["{{ c | length }}{{ c == '<|end|>' }}", []],
    ["{{ '<|end|>' if c else '' }}", []],
    ["{% for x in c %}{{ x }}{% endfor %}", ["<|end|>"]],
    ["{{ {'k': c} | tojson }}", ['{"k": "<|end|>"}']],
    ["{{ c | indent(2, true) }}", ["<|end|>"]],
    ["{% filter upper %}<|a|>{{ c }}{% endfilter %}", ["<|END|>"]],
  ] as const)("%s", (source, expected) => {
    expect(marks(source)).toEqual(expected);
  });
});
