import { plain, type Text } from "./marked.ts";
import { index } from "./numbers.ts";
import { truth } from "./operators.ts";
import { type Args, fault, isText, type Value } from "./values.ts";

/** The arguments of a call by the names of its parameters; undefined where nothing was given. Faults for others. */
export function bind<const Names extends readonly string[]>(
  what: string,
  { values, named }: Args,
  names: Names,
): { readonly [Name in Names[number]]: Value | undefined } {
  if (values.length > names.length) fault(`${what} takes at most ${names.length} arguments (${values.length} given)`);
  const bound: Record<string, Value | undefined> = {};
  names.forEach((name, at) => {
    bound[name] = values[at];
  });
  for (const [name, value] of named ?? []) {
    if (!names.includes(name)) fault(`${what} got an unexpected keyword argument '${name}'`);
    if (bound[name] !== undefined) fault(`${what} got multiple values for argument '${name}'`);
    bound[name] = value;
  }
  return bound as { readonly [Name in Names[number]]: Value | undefined };
}

/** A string that must be given. */
export function text(value: Value | undefined, what: string): Text {
  if (value !== undefined && isText(value)) return value;
  return fault(`${what} must be a string`);
}

/** A string, or what stands for none. */
export function textOr<Other>(value: Value | undefined, other: Other, what: string): Text | Other {
  return value === undefined || value === null ? other : text(value, what);
}

/** The characters of a string that must be given. */
export function chars(value: Value | undefined, what: string): string {
  return plain(text(value, what));
}

/** A whole number, or what stands for none. */
export function indexOr(value: Value | undefined, other: number, what: string): number {
  return value === undefined || value === null ? other : index(value, what);
}

/** A truth value, or what stands for none. */
export function flag(value: Value | undefined, other = false): boolean {
  return value === undefined ? other : truth(value);
}

/** A value that must be given. */
export function needed(value: Value | undefined, what: string): Value {
  return value === undefined ? fault(`${what} is missing`) : value;
}
