import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import {
  type Body,
  describeShape,
  type Field,
  type Fields,
  type ListShape,
  type NumberShape,
  type Shape,
  type TaggedShape,
  type TextShape,
  type UnionShape,
} from "./field.ts";
import type { OtherNames } from "./other-names.ts";

/** One mistake of a request. */
export interface Problem {
  readonly kind: "invalid" | "unknown" | "refused";
  /** Where, such as `messages[0].content`. */
  readonly path: string;
  /** What is wrong, to be read after the path. */
  readonly text: string;
  /** For an unknown field: the known name that was probably meant. */
  readonly meant?: string;
  /** For an unknown field that other servers know: what to do here, without the full stop. */
  readonly hint?: string;
}

/** A rule over several fields of one route. */
export interface Rule<Table> {
  /** One sentence for the page. */
  readonly about: string;
  /** The mistake, or undefined. Called only when every field passed by itself. */
  readonly check: (body: Body<Table>) => Problem | undefined;
}

/** A request that passed. */
export interface Checked<Table> {
  /** The parsed JSON itself, borrowed; absent and null fields are not filled in. */
  readonly body: Body<Table>;
  /** Fields that were taken and have no effect, for `x-stator-ignored`: the first of them, and "more". */
  readonly ignored: readonly string[];
}

/** What a table compiles to: throws one StatorError that names the first mistakes and counts the others. */
export type RequestCheck<Table> = (body: unknown) => Checked<Table>;

/** Mistakes that are told; the others are counted. */
const MOST_LISTED = 8;
/** A longer name is told without the one that was probably meant: finding that costs its length times all known names. */
const LONGEST_MEANT = 32;
const DEEPEST = 64;
const MOST_IGNORED = 16;

interface Run {
  readonly path: (string | number)[];
  /** The first ones. */
  readonly problems: Problem[];
  /** All of them. */
  count: number;
  /** Whether all of them are unknown fields. */
  onlyUnknown: boolean;
  ignored: Set<string> | undefined;
}

type Checker = (value: unknown, run: Run) => void;

/**
 * Compiles a table and its rules once into a check that costs about a microsecond for a usual request. `others`: how
 * other servers call fields of the request.
 */
export function compileCheck<const Table extends Fields>(
  table: Table,
  rules: readonly Rule<Table>[] = [],
  others: OtherNames = {},
): RequestCheck<Table> {
  const check = compileFields(table, { others });
  return (value) => {
    const run: Run = { path: [], problems: [], count: 0, onlyUnknown: true, ignored: undefined };
    check(value, run);
    const body = value as Body<Table>;
    if (run.count === 0) {
      for (const rule of rules) {
        const problem = rule.check(body);
        if (problem && isTold(run, problem.kind)) run.problems.push(problem);
      }
    }
    if (run.count > 0) throw problemsError(run);
    return { body, ignored: run.ignored ? [...run.ignored] : [] };
  };
}

/** All mistakes of one request as one error; `param` is the first one's path. */
function problemsError({ problems, count, onlyUnknown }: Run): StatorError {
  const first = problems[0]!;
  const options = { param: first.path || undefined };
  if (onlyUnknown) {
    const meant = [...new Set(problems.flatMap((problem) => problem.meant ?? []))];
    const known = new Set(problems.flatMap((problem) => (problem.hint ? `${problem.hint}.` : [])));
    const hint = [meant.length > 0 ? ` Did you mean ${meant.join(", ")}?` : "", ...known].join(" ").trimEnd();
    const fields = listed(
      problems.map((problem) => problem.path),
      count,
      ", ",
    );
    return new StatorError("UNKNOWN_FIELD", { fields, hint }, options);
  }
  if (count > 1) {
    return new StatorError("INVALID_REQUEST", { problems: listed(problems.map(printProblem), count, "; ") }, options);
  }
  const reason = first.kind === "refused" ? "UNSUPPORTED_FIELD" : "INVALID_FIELD";
  return new StatorError(reason, { field: first.path || "The body", detail: first.text }, options);
}

function printProblem({ kind, path, text, meant, hint }: Problem): string {
  if (kind === "unknown")
    return `unknown field ${path}${meant ? ` (did you mean ${meant}?)` : hint ? ` (${hint})` : ""}`;
  return kind === "refused" ? `${path} is not supported: ${text}` : `${path || "the body"}: ${text}`;
}

function listed(parts: readonly string[], count: number, glue: string): string {
  const more = count - parts.length;
  return `${parts.join(glue)}${more > 0 ? `${glue}and ${more.toLocaleString("en-US")} more` : ""}`;
}

/** Counts a mistake. Whether it is one of those that are told: only these are worth any work. */
function isTold(run: Run, kind: Problem["kind"]): boolean {
  if (kind !== "unknown") run.onlyUnknown = false;
  return ++run.count <= MOST_LISTED;
}

function printPath(path: readonly (string | number)[]): string {
  let out = "";
  for (const part of path) {
    if (typeof part === "number") out += `[${part}]`;
    else out += `${out && "."}${/^[\w-]{1,64}$/.test(part) ? part : JSON.stringify(part.slice(0, 64))}`;
  }
  return out;
}

/** Says what kind of value was given; numbers and literals by themselves, text never. */
function given(value: unknown): string {
  if (typeof value === "string") return value === "" ? "empty text" : "text";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

function fail(run: Run, text: string, kind: Problem["kind"] = "invalid"): void {
  if (isTold(run, kind)) run.problems.push({ kind, path: printPath(run.path), text });
}

function must(shape: Shape): Checker {
  const wanted = `must be ${describeShape(shape)}`;
  return (value, run) => fail(run, `${wanted}, not ${given(value)}`);
}

interface Known {
  readonly field: Field;
  readonly check: Checker;
  readonly harmless: ReadonlySet<unknown>;
  readonly emptyHarmless: boolean;
}

/** What becomes of fields that a table does not have. */
interface Unlisted {
  readonly others?: OtherNames;
  /** They are taken without effect. */
  readonly open?: boolean;
}

function compileFields(fields: Fields, unlisted: Unlisted = {}): Checker {
  const known = new Map<string, Known>();
  const required: string[] = [];
  for (const [name, field] of Object.entries(fields)) {
    const harmless = field.harmless ?? [];
    const emptyHarmless = harmless.some((value) => Array.isArray(value));
    known.set(name, { field, check: compileShape(field.shape), harmless: new Set(harmless), emptyHarmless });
    if (field.required) required.push(name);
  }
  return (value, run) => {
    if (!isObject(value)) return fail(run, `must be an object, not ${given(value)}`);
    for (const name in value) {
      if (known.has(name)) checkField(known.get(name)!, name, value[name], run);
      else checkUnlisted(known, name, unlisted, run);
    }
    for (const name of required) {
      if (value[name] !== undefined && value[name] !== null) continue;
      run.path.push(name);
      fail(run, "is required");
      run.path.pop();
    }
  };
}

function checkUnlisted(known: ReadonlyMap<string, Known>, name: string, unlisted: Unlisted, run: Run): void {
  run.path.push(name);
  if (unlisted.open) noteIgnored(run);
  else if (isTold(run, "unknown")) {
    const other = unlisted.others && Object.hasOwn(unlisted.others, name) ? unlisted.others[name] : undefined;
    const hint = other && "hint" in other ? other.hint : undefined;
    const field = other && "field" in other && known.has(other.field) ? other.field : undefined;
    const near = hint || name.length > LONGEST_MEANT ? undefined : nearest(name, known.keys());
    run.problems.push({ kind: "unknown", path: printPath(run.path), text: "", meant: field ?? near, hint });
  }
  run.path.pop();
}

function checkField(entry: Known, name: string, value: unknown, run: Run): void {
  if (value === null) return;
  const { field } = entry;
  run.path.push(name);
  const effect = field.use === "refused" || field.use === "ignored";
  if (effect && !isHarmless(entry, value)) {
    if (field.use === "refused") fail(run, field.why ?? "it has no effect here", "refused");
    else noteIgnored(run);
  }
  if (field.use !== "refused") entry.check(value, run);
  run.path.pop();
}

function noteIgnored(run: Run): void {
  run.ignored ??= new Set();
  if (run.ignored.size > MOST_IGNORED) return;
  const path = printPath(run.path.filter((part) => typeof part === "string"));
  if (run.ignored.size < MOST_IGNORED) run.ignored.add(path);
  else if (!run.ignored.has(path)) run.ignored.add("more");
}

function isHarmless(entry: Known, value: unknown): boolean {
  return entry.harmless.has(value) || (entry.emptyHarmless && Array.isArray(value) && value.length === 0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function compileShape(shape: Shape): Checker {
  switch (shape.is) {
    case "boolean": {
      const wrong = must(shape);
      return (value, run) => typeof value !== "boolean" && wrong(value, run);
    }
    case "number":
    case "integer":
      return compileNumber(shape);
    case "int64": {
      const wrong = must(shape);
      return (value, run) => Number.isSafeInteger(value) || isInt64(value) || wrong(value, run);
    }
    case "text":
      return compileText(shape);
    case "list":
      return compileList(shape);
    case "object":
      return compileFields(shape.fields, shape);
    case "map":
      return compileMap(shape.of, shape.keys, shape.most);
    case "union":
      return compileUnion(shape);
    case "tagged":
      return compileTagged(shape);
    case "any":
      return (value, run) => nestedDeeper(value, DEEPEST) && fail(run, `is nested deeper than ${DEEPEST} levels`);
  }
}

function numberFits(shape: NumberShape, value: unknown): boolean {
  if (typeof value !== "number" || (shape.is === "integer" ? !Number.isSafeInteger(value) : !Number.isFinite(value)))
    return false;
  if (shape.above !== undefined && !(value > shape.above)) return false;
  return value >= (shape.least ?? Number.NEGATIVE_INFINITY) && value <= (shape.most ?? Number.POSITIVE_INFINITY);
}

function isInt64(value: unknown): boolean {
  return typeof value === "bigint" && BigInt.asIntN(64, value) === value;
}

function compileNumber(shape: NumberShape): Checker {
  const wrong = must(shape);
  return (value, run) => numberFits(shape, value) || wrong(value, run);
}

function compileText(shape: TextShape): Checker {
  const { leastLength = 0, mostLength = Number.POSITIVE_INFINITY } = shape;
  const among = shape.among && new Set<unknown>(shape.among);
  const pattern = shape.pattern === undefined ? undefined : new RegExp(`^(?:${shape.pattern})$`, "u");
  const wrong = must(shape);
  return (value, run) => {
    if (typeof value !== "string") return wrong(value, run);
    if (among && !among.has(value)) return fail(run, `must be ${describeShape(shape)}`);
    if (value.length > mostLength) return fail(run, `is longer than ${mostLength} characters`);
    if (value.length < leastLength || (pattern && !pattern.test(value))) fail(run, `must be ${describeShape(shape)}`);
  };
}

function compileList(shape: ListShape): Checker {
  const { of, least = 0, most = Number.POSITIVE_INFINITY } = shape;
  const check = compileShape(of);
  const wrong = must(shape);
  return (value, run) => {
    if (!Array.isArray(value)) return wrong(value, run);
    if (value.length < least) return fail(run, `must have at least ${least} ${least === 1 ? "item" : "items"}`);
    if (value.length > most) return fail(run, `has ${value.length} items; at most ${most} are taken`);
    for (let at = 0; at < value.length; at++) {
      // Prompts as token ids may have a hundred thousand items: the path is only built for those that are wrong.
      if (of.is === "integer" && numberFits(of, value[at])) continue;
      run.path.push(at);
      check(value[at], run);
      run.path.pop();
    }
  };
}

function compileMap(of: Shape, keys: string | undefined, most = Number.POSITIVE_INFINITY): Checker {
  const check = compileShape(of);
  const pattern = keys === undefined ? undefined : new RegExp(`^(?:${keys})$`, "u");
  return (value, run) => {
    if (!isObject(value)) return fail(run, `must be an object, not ${given(value)}`);
    let count = 0;
    for (const key in value) {
      if (++count > most) return fail(run, `has more than ${most} entries`);
      run.path.push(key);
      if (pattern && !pattern.test(key)) fail(run, `is a key that does not match ${keys}`);
      check(value[key], run);
      run.path.pop();
    }
  };
}

/** Whether a value has the JSON type of the shape; of a list only the first item is looked at. */
function looksLike(shape: Shape, value: unknown): boolean {
  switch (shape.is) {
    case "text":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "number":
    case "integer":
      return typeof value === "number";
    case "int64":
      return typeof value === "number" || typeof value === "bigint";
    case "list":
      return Array.isArray(value) && (value.length === 0 || looksLike(shape.of, value[0]));
    case "object":
    case "map":
    case "tagged":
      return isObject(value);
    case "union":
      return shape.of.some((one) => looksLike(one, value));
    case "any":
      return true;
  }
}

function compileUnion(shape: UnionShape): Checker {
  const members = shape.of.map((one) => ({ shape: one, check: compileShape(one) }));
  const wrong = must(shape);
  return (value, run) => {
    for (const member of members) if (looksLike(member.shape, value)) return member.check(value, run);
    wrong(value, run);
  };
}

function compileTagged(shape: TaggedShape): Checker {
  const tagNames = Object.keys(shape.cases);
  const cases = new Map<unknown, Checker>();
  for (const [tag, fields] of Object.entries(shape.cases)) {
    const tagField: Field = { use: "honoured", shape: { is: "text", among: tagNames }, about: "" };
    cases.set(tag, compileFields({ [shape.by]: tagField, ...fields }, shape));
  }
  const refusals = new Map<unknown, string>(Object.entries(shape.refusals));
  const wanted = `must be one of ${tagNames.map((tag) => JSON.stringify(tag)).join(", ")}`;
  return (value, run) => {
    if (!isObject(value)) return fail(run, `must be an object, not ${given(value)}`);
    const check = cases.get(value[shape.by]);
    if (check) return check(value, run);
    const refusal = refusals.get(value[shape.by]);
    run.path.push(shape.by);
    if (refusal) fail(run, refusal, "refused");
    else fail(run, wanted);
    run.path.pop();
  };
}

function nestedDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  for (const inner of Object.values(value)) if (nestedDeeper(inner, levels - 1)) return true;
  return false;
}
