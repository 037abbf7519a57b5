/** What a JSON value must be. Every shape is data: the validator, the OpenAPI document and the page are made from it. */
export type Shape =
  | BooleanShape
  | NumberShape
  | Int64Shape
  | TextShape
  | ListShape
  | ObjectShape
  | MapShape
  | UnionShape
  | TaggedShape
  | AnyShape;

/** true or false. */
export interface BooleanShape {
  readonly is: "boolean";
}

/** A number. Whole numbers are safe integers. */
export interface NumberShape {
  readonly is: "number" | "integer";
  /** The value is this or above; undefined: no bound. */
  readonly least?: number;
  /** The value is this or below; undefined: no bound. */
  readonly most?: number;
  /** The value lies above this. */
  readonly above?: number;
}

/** A whole number of 64 bits with its sign: a safe integer, or a bigint where JSON.parse would have rounded it. */
export interface Int64Shape {
  readonly is: "int64";
}

/** Text. */
export interface TextShape {
  readonly is: "text";
  /** The only values that are taken; undefined takes any. */
  readonly among?: readonly string[];
  /** In UTF-16 units; default 0. */
  readonly leastLength?: number;
  /** In UTF-16 units; undefined: as long as a body may be. */
  readonly mostLength?: number;
  /** A regular expression for the whole text. */
  readonly pattern?: string;
}

/** A list of items of one shape. */
export interface ListShape {
  readonly is: "list";
  /** Of every item. */
  readonly of: Shape;
  /** Items; default 0. */
  readonly least?: number;
  /** Items; undefined: as many as a body may hold. */
  readonly most?: number;
}

/** An object with these fields and no others. */
export interface ObjectShape {
  readonly is: "object";
  /** Those it may have, and must have where they are required. */
  readonly fields: Fields;
  /** Other fields are taken, have no effect and are named. */
  readonly open?: true;
}

/** An object with free keys. */
export interface MapShape {
  readonly is: "map";
  /** Of every value. */
  readonly of: Shape;
  /** A regular expression for every key. */
  readonly keys?: string;
  /** Entries; undefined: as many as a body may hold. */
  readonly most?: number;
}

/** One of several shapes, told apart by the JSON type of the value, and for lists by that of its first item. */
export interface UnionShape {
  readonly is: "union";
  /** The first whose type the value has judges it, and no other: a mistake is told once. */
  readonly of: readonly Shape[];
}

/** An object whose fields depend on one of them. */
export interface TaggedShape {
  readonly is: "tagged";
  /** Name of the field that decides, such as `type`. */
  readonly by: string;
  /** By value of that field: what the object holds besides it. */
  readonly cases: Readonly<Record<string, Fields>>;
  /** Other fields are taken, have no effect and are named. */
  readonly open?: true;
  /** Values of the tag that are known and refused, with the reason. */
  readonly refusals: Readonly<Record<string, string>>;
}

/** Anything of bounded depth. */
export interface AnyShape {
  readonly is: "any";
}

/**
 * What becomes of a field. honoured: it has the effect its API describes; ours: the same, and the field is an extension;
 * ignored: taken and without effect, named in `x-stator-ignored`; refused: a 400 with the reason.
 */
export type Use = "honoured" | "ours" | "ignored" | "refused";

/** One field of a request. `null` counts as absent. */
export interface Field {
  /** What becomes of it; `ignored` and `refused` leave values alone that are `harmless`. */
  readonly use: Use;
  /** What its value must be when it is neither absent nor null. */
  readonly shape: Shape;
  /** A request without it is refused. */
  readonly required?: true;
  /** One sentence for people. */
  readonly about: string;
  /** Why it is ignored or refused. */
  readonly why?: string;
  /** Values that ask for nothing: an ignored field with one is not named, a refused one is taken. `[]` stands for the empty list. */
  readonly harmless?: readonly (string | number | boolean | readonly [])[];
}

/** Fields by name, in the order of the page. */
export type Fields = Readonly<Record<string, Field>>;

/** The type of a value that passed its shape. */
export type Value<S> = S extends { is: "boolean" }
  ? boolean
  : S extends { is: "number" | "integer" }
    ? number
    : S extends { is: "int64" }
      ? number | bigint
      : S extends { is: "text"; among: readonly (infer Name)[] }
        ? Name
        : S extends { is: "text" }
          ? string
          : S extends { is: "list"; of: infer Of }
            ? readonly Value<Of>[]
            : S extends { is: "object"; fields: infer F }
              ? Body<F>
              : S extends { is: "map"; of: infer Of }
                ? Readonly<Record<string, Value<Of>>>
                : S extends { is: "union"; of: readonly (infer Of)[] }
                  ? Value<Of>
                  : S extends { is: "tagged"; by: infer By extends string; cases: infer Cases }
                    ? { [Tag in keyof Cases]: Body<Cases[Tag]> & { readonly [Key in By]: Tag } }[keyof Cases]
                    : unknown;

type RequiredNames<F> = { [Name in keyof F]: F[Name] extends { required: true } ? Name : never }[keyof F];

/** The type of an object that passed its fields. */
export type Body<F> = {
  readonly [Name in keyof F & RequiredNames<F>]: F[Name] extends { shape: infer S } ? Value<S> : never;
} & {
  readonly [Name in Exclude<keyof F, RequiredNames<F>>]?: F[Name] extends { shape: infer S } ? Value<S> | null : never;
};

/** How a shape reads in a sentence after "must be", such as `a number from 0 to 2`. */
export function describeShape(shape: Shape): string {
  switch (shape.is) {
    case "boolean":
      return "true or false";
    case "number":
    case "integer":
      return `${shape.is === "integer" ? "a whole number" : "a number"}${describeRange(shape)}`;
    case "int64":
      return "a whole number from -2^63 to 2^63 - 1, written in digits";
    case "text":
      return describeText(shape);
    case "list":
      return `a list of ${describeItems(shape)}`;
    case "object":
    case "tagged":
      return "an object";
    case "map":
      return `an object whose values are each ${describeShape(shape.of)}`;
    case "union":
      return shape.of.map(describeShape).join(", or ");
    case "any":
      return "any value that is not nested too deep";
  }
}

function describeRange({ least, most, above }: NumberShape): string {
  if (above !== undefined) return most === undefined ? ` above ${above}` : ` above ${above}, at most ${most}`;
  if (least !== undefined && most !== undefined) return ` from ${least} to ${most}`;
  if (least !== undefined) return ` of at least ${least}`;
  return most === undefined ? "" : ` of at most ${most}`;
}

function describeText({ among, leastLength = 0, mostLength, pattern }: TextShape): string {
  if (among) return `one of ${among.map((name) => JSON.stringify(name)).join(", ")}`;
  const length = mostLength === undefined ? "" : ` of at most ${mostLength} characters`;
  return `${leastLength > 0 ? "text that is not empty" : "text"}${length}${pattern ? ` that matches ${pattern}` : ""}`;
}

function describeItems({ of, least, most }: ListShape): string {
  const plural: Partial<Record<Shape["is"], string>> = {
    text: "texts",
    list: "lists",
    object: "objects",
    tagged: "objects",
  };
  const items =
    (of.is === "text" && of.among ? describeShape(of) : plural[of.is]) ??
    describeShape(of).replace(/^an? ((?:whole )?number)?/, (_, number?: string) => (number ? `${number}s` : ""));
  const atLeast = least === 1 ? "one or more " : least ? `at least ${least} ` : "";
  const count = least && most ? `${least} to ${most} ` : most ? `at most ${most} ` : atLeast;
  return `${count}${items}`;
}
