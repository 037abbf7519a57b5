import { describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { choice, decimal, flag, integer, integerOr, severalOf, text } from "#lib/base/option";
import { explainOption, printConfigPage, printConfigSchema, printOptionHelp } from "./print.ts";
import { resolveConfig } from "./resolve.ts";

const OPTIONS = {
  model: text({ initial: undefined, doc: "A file." }),
  "http.port": integer({ initial: 8000, least: 0, most: 65_535, doc: "A port." }),
  speed: decimal({ initial: 1, least: 0, most: 10, doc: "How fast." }),
  insecure: flag({ initial: false, doc: "Allow it." }),
  mode: choice({ initial: "a", choices: ["a", "b"], doc: "Which." }),
  word: severalOf<string>({
    doc: "Words.",
    parseItem: (item) => (item === "" ? { expected: "a word" } : item),
    printItem: (item) => `<${item}>`,
    itemSchema: { type: "string" },
  }),
  token: text({ initial: undefined, secret: true, doc: "A secret." }),
} as const;

const resolve = (args: string[], env = {}, file: unknown = undefined) => resolveConfig(OPTIONS, { args, env, file });

it("an option may leave a number to the program", () => {
  const threads = integerOr("auto", { least: 1, most: 8, doc: "How many." });
  expect([threads.initial, threads.parse("auto"), threads.parse("8")]).toEqual(["auto", "auto", 8]);
  for (const wrong of ["0", "9", "Auto", ""]) {
    expect(threads.parse(wrong)).toEqual({ expected: "auto, or a whole number from 1 to 8" });
  }
  expect(threads.schema).toEqual({ anyOf: [{ const: "auto" }, { type: "integer", minimum: 1, maximum: 8 }] });
});

describe("resolveConfig()", () => {
  it("prefers flag over environment over file over default", () => {
    const env = { STATOR_HTTP_PORT: "2", STATOR_SPEED: "2" };
    const { config } = resolve(["--http-port", "1"], env, { http: { port: 3 }, speed: 3, mode: "b" });
    expect(config.values).toMatchObject({ "http.port": 1, speed: 2, mode: "b", model: undefined, insecure: false });
    expect(config.sources).toMatchObject({ "http.port": "flag", speed: "environment", mode: "file", model: "default" });
  });

  it("reads flags with =, bare flags, their negation and positional arguments", () => {
    const { config, positional } = resolve(["--model=x=y", "--insecure", "one", "--", "--two"]);
    expect(config.values).toMatchObject({ model: "x=y", insecure: true });
    expect(positional).toEqual(["one", "--two"]);
    expect(resolve(["--no-insecure"], { STATOR_INSECURE: "true" }).config.values.insecure).toBe(false);
  });

  it("takes flags of some options alone where others have no effect; variables and files are shared", () => {
    const given = { env: { STATOR_SPEED: "2" }, file: { mode: "b" }, flags: ["model"] };
    expect(resolveConfig(OPTIONS, { ...given, args: ["--model", "x"] }).config.values).toMatchObject({
      model: "x",
      speed: 2,
      mode: "b",
    });
    expect(() => resolveConfig(OPTIONS, { ...given, args: ["--speed", "3"] })).toThrow(
      "--speed is not an option here.",
    );
  });

  it("gathers what may come several times, from flags or a sequence of the file, never from both", () => {
    const file = { word: ["a", { b: 1 }] };
    expect(resolve([], {}, file).config.values.word).toEqual(["a", '{"b":1}']);
    expect(resolve([], {}, { word: "c" }).config.values.word).toEqual(["c"]);
    expect(resolve(["--word", "d", "--word=e"], {}, file).config.values.word).toEqual(["d", "e"]);
    expect(resolve([], { STATOR_WORD: "f" }).config.values.word).toEqual(["f"]);
    const { config } = resolve([]);
    expect(config.values.word).toEqual([]);
    expect(explainOption(OPTIONS, config, "word")).toContain("word = not set\n");
    expect(explainOption(OPTIONS, resolve(["--word", "d", "--word", "e"]).config, "word")).toContain(
      "word = <d>; <e>\n",
    );
    expect(() => resolve(["--word", "d", "--word", ""])).toThrow('--word: expected a word, got "".');
  });

  it("reports all mistakes at once, with the nearest name", () => {
    let caught: unknown;
    try {
      resolve(
        ["--http-prt", "1", "--speed", "11", "--mode"],
        { STATOR_MODELL: "x" },
        { http: { ports: 1 }, mode: [1] },
      );
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(StatorError);
    expect((caught as StatorError).message.split("\n")).toEqual([
      "--http-prt is not an option here. Did you mean --http-port?",
      "--mode needs a value.",
      "The variable STATOR_MODELL is not an option. Did you mean STATOR_MODEL?",
      "http.ports in the file is not an option. Did you mean http.port?",
      "mode: expected one value in the file.",
      '--speed: expected a number from 0 to 10, got "11".',
    ]);
  });
});

describe("printing", () => {
  const { config } = resolve(["--token", "hush"], { STATOR_HTTP_PORT: "9" });

  it("explains a value and where it came from, and hides a secret", () => {
    expect(explainOption(OPTIONS, config, "http.port")).toContain(
      "http.port = 9\n  from the variable STATOR_HTTP_PORT",
    );
    expect(explainOption(OPTIONS, config, "token")).not.toContain("hush");
  });

  it("hides the login of a URL", () => {
    const { config: named } = resolve(["--model", "etcd://me:hush@host/root"]);
    expect(explainOption(OPTIONS, named, "model")).toContain("model = etcd://…@host/root\n");
    expect(() => resolve(["--speed", "http://me:hush@host"])).toThrow('got "http://…@host"');
  });

  it("has every option in the help, the page and the schema", () => {
    const schema = printConfigSchema(OPTIONS);
    for (const key of Object.keys(OPTIONS)) {
      expect(printConfigPage(OPTIONS)).toContain(`\`${key}\``);
      expect(schema).toContain(`"${key.split(".").at(-1)}"`);
    }
    expect(printOptionHelp(OPTIONS, ["http.port"])).toBe("  --http-port VALUE  A port. (8000)");
    expect(printOptionHelp(OPTIONS, ["mode"], { mode: "How it is here." })).toBe(
      "  --mode VALUE  How it is here. One of a, b. (a)",
    );
  });
});
