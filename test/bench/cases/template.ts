// Rendering a conversation of 41 messages with a chat template: ours against @huggingface/jinja, as it renders by itself
// and with globals that are made once, as ratios of CPU time in one run.
//   node test/bench/cases/template.ts [NAME_PART]
import { readFileSync } from "node:fs";
import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { systemClock } from "#lib/host/system-clock";
import { compileTemplate } from "#lib/text/template";
import { cpuUs, median, runCases, volume } from "../harness.ts";
import { TextWriter } from "../text.ts";

const ROUNDS = volume(200, 5);
/** Renderings of one round, so that it is long beside the clock's grain. */
const BATCH = volume(10, 2);

const SIMPLE =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

const TOOLS = Array.from({ length: 5 }, (_, at) => ({
  type: "function",
  function: {
    name: `f${at}`,
    description: "It does.",
    parameters: { type: "object", properties: { a: { type: "string" } } },
  },
}));

const writer = new TextWriter(1);

function conversation(): { role: string; content: string }[] {
  return Array.from({ length: 41 }, (_, at) => ({
    role: at % 2 === 0 ? "user" : "assistant",
    content: writer.words(150),
  }));
}

function cpuUsOf(call: () => unknown): number {
  const before = cpuUs();
  for (let at = 0; at < BATCH; at++) call();
  return (cpuUs() - before) / BATCH;
}

/** Globals made once, which is faster than what the library does by itself. */
function prepared(template: Template): (variables: Record<string, unknown>) => unknown {
  const globals = new Environment();
  for (const [name, value] of Object.entries({
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
  })) {
    globals.set(name, value);
  }
  globals.set("raise_exception", (message: unknown) => {
    throw new Error(String(message));
  });
  return (variables) => {
    const own = new Environment(globals);
    for (const [name, value] of Object.entries(variables)) own.set(name, value);
    return new Interpreter(own).run(template.parsed).value;
  };
}

function compare(source: string, tools: typeof TOOLS | undefined): object {
  const ours = compileTemplate(source, systemClock);
  const theirs = new Template(source);
  const run = prepared(theirs);
  const figures: [ours: number, library: number, prepared: number][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const messages = conversation();
    const variables = { messages, tools, add_generation_prompt: true, bos_token: "", eos_token: "" };
    figures.push([
      cpuUsOf(() => ours.render(messages, { tools, bosToken: "", eosToken: "" })),
      cpuUsOf(() => theirs.render(variables)),
      cpuUsOf(() => run(variables)),
    ]);
  }
  const [mine, library, fast] = [0, 1, 2].map((at) => median(figures.map((each) => each[at]!)));
  return { library: mine! / library!, prepared: mine! / fast!, oursUs: mine! };
}

const fixture = (name: string): string =>
  readFileSync(new URL(`../../fixtures/templates/chat/${name}.jinja`, import.meta.url), "utf8");

await runCases({
  "template/simple": () => Promise.resolve(compare(SIMPLE, undefined)),
  "template/tools": () => Promise.resolve(compare(fixture("marks"), TOOLS)),
});
