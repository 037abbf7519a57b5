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
  /** True: a flag may come several times and the file may have a sequence; the values are lists and follow each other. */
  readonly several?: boolean;
  /** The value as people read it, where it is no text, number or boolean. */
  print?(value: Value): string;
}

/** Any option. */
export type Option = OptionBase<string | number | boolean | readonly unknown[] | undefined>;

/** A table of options by dotted key, such as http.port. A room that reads options has one, beside what it makes of them. */
export type Options = Readonly<Record<string, OptionBase<never> | Option>>;

/** The values of a table, by key. */
export type Values<Table extends Options> = {
  readonly [Key in keyof Table]: Table[Key] extends OptionBase<infer Value> ? Value : never;
};

/** The keys of a table, in its order. */
export function keysOf<Table extends Options>(table: Table): readonly (keyof Table & string)[] {
  return Object.keys(table);
}

/** What a port may be; 0 takes a free one. */
export const PORT = { least: 0, most: 65_535, placeholder: "PORT" } as const;

/** What a time may be that is never 0: a millisecond to a day. */
export const MILLIS = { unit: "ms", least: 1, most: 86_400_000 } as const;

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

/** A whole number within bounds, or the word that leaves the choice to the program. */
export function integerOr<const Word extends string>(
  word: Word,
  options: Described & { readonly least: number; readonly most: number },
): OptionBase<number | Word> {
  const { schema, parse } = integer({ ...options, initial: options.least });
  return {
    ...options,
    initial: word,
    parse(given) {
      if (given.trim() === word) return word;
      const value = parse(given);
      return typeof value === "number" ? value : { expected: `${word}, or ${value.expected}` };
    },
    schema: { anyOf: [{ const: word }, schema] },
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
): OptionBase<Value>;
export function choice<const Value extends string>(
  options: Described & { readonly initial: undefined; readonly choices: readonly Value[] },
): OptionBase<Value | undefined>;
export function choice<const Value extends string>(
  options: Described & { readonly initial: Value | undefined; readonly choices: readonly Value[] },
): OptionBase<Value | undefined> {
  return {
    ...options,
    parse: (given) =>
      options.choices.find((value) => value === given) ?? { expected: `one of ${options.choices.join(", ")}` },
    schema: { type: "string", enum: options.choices },
  };
}

/** Any number of things of one kind, none unless somebody names one. A mapping in the file is read as its JSON. */
export function severalOf<Item>(
  options: Omit<Described, "print"> & {
    parseItem(text: string): Item | { readonly expected: string };
    printItem(item: Item): string;
    readonly itemSchema: Readonly<Record<string, unknown>>;
  },
): OptionBase<readonly Item[]> {
  const { parseItem, printItem, itemSchema, ...described } = options;
  return {
    ...described,
    initial: [],
    several: true,
    parse(given) {
      const item = parseItem(given);
      return isExpectation(item) ? item : [item];
    },
    print: (items) => items.map(printItem).join("; "),
    schema: { anyOf: [itemSchema, { type: "array", items: itemSchema }] },
  };
}

/** Whether a text was not what an option expects. */
export function isExpectation(value: unknown): value is { readonly expected: string } {
  return typeof value === "object" && value !== null && "expected" in value;
}

/** The flag of a key: `--http-port` for http.port. */
export function flagOf(key: string): string {
  return `--${key.replaceAll(".", "-")}`;
}

/** The variable of a key: `STATOR_HTTP_PORT` for http.port. */
export function variableOf(key: string): string {
  return `STATOR_${key.replaceAll(/[.-]/g, "_").toUpperCase()}`;
}
