/** What every option says about itself: one declaration gives flag, variable, YAML key, schema, page and `config explain`. */
export interface OptionBase<Value> {
  /** Value when nobody said anything. `undefined` means: not set. */
  readonly initial: Value;
  /** What it decides, for people. */
  readonly doc: string;
  /** Unit of a number, such as ms, bytes, tokens. */
  readonly unit?: string;
  /** Name of the option of the reference system that does the same. */
  readonly alike?: string;
  /** Never printed. */
  readonly secret?: boolean;
  /** Word for the value in help, such as FILE. */
  readonly placeholder?: string;
  /** Reads one text from flag, variable or file; a sentence of what was expected otherwise. */
  parse(text: string): Value | { readonly expected: string };
  /** All values that there are, where they can be told. */
  readonly choices?: readonly string[];
  /** JSON Schema of the value in a file. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** True: the flag takes no value. */
  readonly bare?: boolean;
}

/** Any option. */
export type Option = OptionBase<string | number | boolean | undefined>;

/** A table of options by dotted key, such as http.port. */
export type Options = Readonly<Record<string, OptionBase<never> | Option>>;

type Described = Omit<OptionBase<unknown>, "initial" | "parse" | "schema" | "bare" | "choices">;
type Bounded = Described & { readonly least: number; readonly most: number };

/** A text. */
export function text(options: Described & { readonly initial: string }): OptionBase<string>;
export function text(options: Described & { readonly initial: undefined }): OptionBase<string | undefined>;
export function text(options: Described & { readonly initial: string | undefined }): OptionBase<string | undefined> {
  return { ...options, parse: (given) => given, schema: { type: "string" } };
}

/** A whole number within bounds. */
export function integer(options: Bounded & { readonly initial: number }): OptionBase<number>;
export function integer(options: Bounded & { readonly initial: undefined }): OptionBase<number | undefined>;
export function integer(options: Bounded & { readonly initial: number | undefined }): OptionBase<number | undefined> {
  const expected = `a whole number from ${options.least} to ${options.most}`;
  return {
    ...options,
    parse(given) {
      const value = /^-?\d+$/.test(given.trim()) ? Number(given) : Number.NaN;
      return value >= options.least && value <= options.most ? value : { expected };
    },
    schema: { type: "integer", minimum: options.least, maximum: options.most },
  };
}

/** A number within bounds. */
export function decimal(options: Bounded & { readonly initial: number }): OptionBase<number>;
export function decimal(options: Bounded & { readonly initial: undefined }): OptionBase<number | undefined>;
export function decimal(options: Bounded & { readonly initial: number | undefined }): OptionBase<number | undefined> {
  const expected = `a number from ${options.least} to ${options.most}`;
  return {
    ...options,
    parse(given) {
      const value = given.trim() === "" ? Number.NaN : Number(given);
      return value >= options.least && value <= options.most ? value : { expected };
    },
    schema: { type: "number", minimum: options.least, maximum: options.most },
  };
}

/** Yes or no. As a flag it needs no value: `--name` and `--no-name`. */
export function flag(options: Described & { readonly initial: boolean }): OptionBase<boolean> {
  return {
    ...options,
    bare: true,
    parse: (given) =>
      given === "true" || given === "1"
        ? true
        : given === "false" || given === "0"
          ? false
          : { expected: "true or false" },
    schema: { type: "boolean" },
  };
}

/** One of a closed set. */
export function choice<const Value extends string>(
  options: Described & { readonly initial: Value; readonly choices: readonly Value[] },
): OptionBase<Value> {
  return {
    ...options,
    parse: (given) =>
      options.choices.find((value) => value === given) ?? { expected: `one of ${options.choices.join(", ")}` },
    schema: { type: "string", enum: options.choices },
  };
}

/** The flag of a key: `--http-port` for http.port. */
export function flagOf(key: string): string {
  return `--${key.replaceAll(".", "-")}`;
}

/** The variable of a key: `STATOR_HTTP_PORT` for http.port. */
export function variableOf(key: string): string {
  return `STATOR_${key.replaceAll(/[.-]/g, "_").toUpperCase()}`;
}
