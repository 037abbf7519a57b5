import { type CallExpression, type NewExpression, type Node, parseSync, visitorKeys } from "oxc-parser";
import { alternativesOf, droppableCall, heldTests, isAssertion, maySwap, short } from "./operators.ts";

/** One change to one place. */
export interface Mutant {
  /** From 1, in the order of files and places. */
  readonly id: number;
  readonly file: string;
  readonly line: number;
  /** The line as it is written, without the space around it. */
  readonly code: string;
  /** What was changed in it. */
  readonly change: string;
}

/** A source that holds all its mutants at once, and their list. */
export interface Instrumented {
  readonly code: string;
  readonly mutants: readonly Mutant[];
}

/** Write swapped arguments alone, for the compiler. */
export interface Swaps {
  /** Those that it refused already. */
  readonly without: ReadonlySet<number>;
}

/** Name of the global function that says whether a mutant is on; every place asks it. */
export const SWITCH = "$mutant";

/**
 * Writes every mutant of a source into it, behind a switch: `a < b` becomes `($mutant(7) ? a <= b : a < b)`. Code that
 * runs when the module is loaded, such as tables and constants, stays as it is. With `swaps`
 * nothing but swapped arguments is written, under the same numbers.
 */
export function instrument(file: string, text: string, firstId: number, swaps?: Swaps): Instrumented {
  const writer = new Writer(file, text, { firstId, swaps });
  const { program, errors } = parseSync(file, text);
  if (errors[0] !== undefined) throw new Error(`${file}: ${errors[0].message}`);
  return {
    code: text.slice(0, program.start) + writer.write(program) + text.slice(program.end),
    mutants: writer.mutants,
  };
}

class Writer {
  readonly mutants: Mutant[] = [];
  readonly #file: string;
  readonly #text: string;
  readonly #firstId: number;
  readonly #swaps: Swaps | undefined;
  /** Functions around the node that is being written. */
  #depth = 0;

  constructor(file: string, text: string, { firstId, swaps }: { firstId: number; swaps: Swaps | undefined }) {
    this.#file = file;
    this.#text = text;
    this.#firstId = firstId;
    this.#swaps = swaps;
  }

  /** The node with its mutants. */
  write(node: Node): string {
    if (isType(node) || isAssertion(node)) return this.#say(node);
    const isFunction = /Function/.test(node.type);
    if (isFunction) this.#depth++;
    const code = this.#depth > 0 ? this.#mutate(node) : this.#children(node);
    if (isFunction) this.#depth--;
    return code;
  }

  #mutate(node: Node): string {
    const dropped = droppableCall(node);
    if (dropped) {
      const asked = this.#add(node, `without ${short(this.#say(dropped))}`);
      const statement = this.#children(node);
      return this.#swaps ? statement : `{ if (!${asked}) ${statement} }`;
    }
    const switched = alternativesOf(node, this.#text).map(({ code, change }) => {
      return `${this.#add(node, change)} ? ${code} : `;
    });
    return wrap(this.#swaps ? [] : switched, this.#children(node));
  }

  /** The node's own text with its children written. */
  #children(node: Node): string {
    let code = "";
    let at = node.start;
    for (const [key, child] of childrenOf(node)) {
      // A shorthand property names one place twice.
      if (child.start < at) continue;
      code += this.#text.slice(at, child.start) + this.#child(node, key, child);
      at = child.end;
    }
    return code + this.#text.slice(at, node.end);
  }

  #child(node: Node, key: string, child: Node): string {
    if (isName(node, key)) return this.#say(child);
    if (this.#depth === 0) return this.write(child);
    if (key === "test") return this.#test(node, child);
    const isCall = node.type === "CallExpression" || node.type === "NewExpression";
    return isCall && key === "arguments" ? this.#argument(node, child) : this.write(child);
  }

  #test(parent: Node, test: Node): string {
    const switched = heldTests(parent).map((held) => {
      return `${this.#add(test, `${short(this.#say(test))} is ${held}`)} ? ${held} : `;
    });
    return wrap(this.#swaps ? [] : switched, this.write(test));
  }

  /** Places of a call are swapped one by one, so that an optional chain around it stays one. */
  #argument(call: CallExpression | NewExpression, argument: Node): string {
    const at = call.arguments.indexOf(argument as (typeof call.arguments)[number]);
    const switched: string[] = [];
    if (maySwap(call, at - 1, this.#text)) {
      const [id, before] = [this.#swapIds.get(argument) as number, call.arguments[at - 1] as Node];
      if (!this.#swaps?.without.has(id)) switched.push(`${SWITCH}(${id}) ? ${this.#say(before)} : `);
    }
    if (maySwap(call, at, this.#text)) {
      const next = call.arguments[at + 1] as Node;
      const asked = this.#add(argument, `${short(this.#say(argument))} ⇄ ${short(this.#say(next))}`);
      const id = this.#firstId + this.mutants.length - 1;
      this.#swapIds.set(next, id);
      if (!this.#swaps?.without.has(id)) switched.push(`${asked} ? ${this.#say(next)} : `);
    }
    return wrap(switched, this.write(argument));
  }

  /** By the second of two arguments that change places: their mutant. */
  readonly #swapIds = new Map<Node, number>();

  /** Notes a mutant and returns the question whether it is on. */
  #add(node: Node, change: string): string {
    const id = this.#firstId + this.mutants.length;
    const line = this.#text.slice(0, node.start).split("\n").length;
    const code = (this.#text.split("\n")[line - 1] as string).trim();
    this.mutants.push({ id, file: this.#file, line, code, change });
    return `${SWITCH}(${id})`;
  }

  #say({ start, end }: Node): string {
    return this.#text.slice(start, end);
  }
}

function wrap(switched: readonly string[], code: string): string {
  return switched.length === 0 ? code : `(${switched.join("")}${code})`;
}

function childrenOf(node: Node): [string, Node][] {
  const fields = node as unknown as Record<string, Node | (Node | null)[] | null | undefined>;
  const found = (visitorKeys[node.type] ?? []).flatMap((key) => {
    const child = fields[key];
    const children = Array.isArray(child) ? child : [child];
    return children.filter((each) => each != null).map((each): [string, Node] => [key, each]);
  });
  return found.sort(([, left], [, right]) => left.start - right.start);
}

/** Types say nothing at run time; `as` and `!` hold an expression that does. */
function isType({ type }: Node): boolean {
  return type.startsWith("TS") && !/^TS(As|NonNull|Satisfies|Instantiation)/.test(type);
}

/** Whether the child is a name and no expression. */
function isName(node: Node, key: string): boolean {
  return key === "key" && "computed" in node && !node.computed;
}
