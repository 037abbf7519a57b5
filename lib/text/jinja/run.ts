import type { Clock } from "#lib/base/clock";
import { TextBuilder } from "./marked.ts";
import { type Args, fault, type Names, type Rendering, Undefined, type Value } from "./values.ts";

/** Computes a value in a rendering. */
export type Expression = (run: Run) => Value;
/** Computes what a call brings. */
export type Arguments = (run: Run) => Args;
/** What goes on after a statement of a loop. */
export type Onward = "on" | "break" | "continue";
/** Writes what a stretch of a template says. */
export type Statement = (run: Run) => Onward;

/** What one rendering may take. */
export interface TemplateLimits {
  /** Turns of loops, calls, and what filters go through, one by one. */
  readonly mostSteps: number;
  /** UTF-16 units of the output, and of every string on the way. */
  readonly mostLength: number;
  /** Macros and recursive loops inside each other. */
  readonly mostDepth: number;
  /** Milliseconds of one rendering. */
  readonly mostMs: number;
}

/** Names of a scope that are looked through one by one: a turn of a loop has two or three. */
const FEW_NAMES = 8;

/** Names that hold in a stretch of a template. */
export class Scope {
  readonly #parent: Scope | undefined;
  readonly #names: string[] = [];
  readonly #values: Value[] = [];
  /** Places of the names, where they are many. */
  #places: Map<string, number> | undefined;

  constructor(parent?: Scope) {
    this.#parent = parent;
  }

  get(name: string): Value {
    for (let scope: Scope | undefined = this; scope; scope = scope.#parent) {
      const at = scope.#placeOf(name);
      if (at >= 0) return scope.#values[at]!;
    }
    return new Undefined(`'${name}' is undefined`);
  }

  set(name: string, value: Value): void {
    const known = this.#placeOf(name);
    if (known >= 0) {
      this.#values[known] = value;
      return;
    }
    const at = this.#names.push(name) - 1;
    this.#values.push(value);
    if (at === FEW_NAMES) this.#places = new Map(this.#names.map((each, place) => [each, place]));
    else this.#places?.set(name, at);
  }

  #placeOf(name: string): number {
    return this.#places ? (this.#places.get(name) ?? -1) : this.#names.indexOf(name);
  }
}

/** Steps between two looks at the clock. */
const LOOK_EVERY = 1024;
/** UTF-16 units that cost a step. */
const UNITS_PER_STEP = 256;

/** One rendering: its names, its output and what it has taken. */
export class Run implements Rendering {
  readonly names: Names;
  scope: Scope;
  out = new TextBuilder();
  /** The line of the template that is being rendered, for errors. */
  line = 1;
  readonly #limits: TemplateLimits;
  readonly #clock: Clock;
  readonly #untilMs: number;
  #steps = 0;
  #nextLook = LOOK_EVERY;
  #depth = 0;

  constructor(scope: Scope, about: { readonly names: Names; readonly limits: TemplateLimits; readonly clock: Clock }) {
    const { names, limits, clock } = about;
    this.names = names;
    this.scope = scope;
    this.#limits = limits;
    this.#clock = clock;
    this.#untilMs = clock.nowMs() + limits.mostMs;
  }

  /** Takes steps. */
  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > this.#limits.mostSteps) fault(`it takes more than ${this.#limits.mostSteps} steps`);
    if (this.#steps < this.#nextLook) return;
    this.#nextLook = this.#steps + LOOK_EVERY;
    if (this.#clock.nowMs() > this.#untilMs) fault(`it takes more than ${this.#limits.mostMs} milliseconds`);
  }

  /** Takes room for a string of this length, before it is made. */
  room(length: number): void {
    if (length > this.#limits.mostLength) fault(`it makes more than ${this.#limits.mostLength} characters`);
    this.spend(1 + length / UNITS_PER_STEP);
  }

  /** Runs something one level deeper. */
  deeper<Result>(call: () => Result): Result {
    if (this.#depth >= this.#limits.mostDepth) fault(`it is nested more than ${this.#limits.mostDepth} deep`);
    this.#depth++;
    try {
      return call();
    } finally {
      this.#depth--;
    }
  }

  /** Runs something with names of its own. */
  inside<Result>(scope: Scope, call: () => Result): Result {
    const outer = this.scope;
    this.scope = scope;
    try {
      return call();
    } finally {
      this.scope = outer;
    }
  }

  /** What something writes. */
  capture(call: () => void): ReturnType<TextBuilder["take"]> {
    const outer = this.out;
    this.out = new TextBuilder();
    try {
      call();
      return this.out.take();
    } finally {
      this.out = outer;
    }
  }
}
