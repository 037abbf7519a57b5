import { runInNewContext } from "node:vm";
import { expect, it, test } from "vitest";
import { instrument } from "./instrument.ts";
import { readErrors } from "./misfits.ts";

const changes = (code: string) =>
  instrument("a.ts", `async function f() { ${code} }`, 1).mutants.map(({ change }) => change);

test.each([
  ["return a < b;", ["< → <="]],
  ["return a >= b;", [">= → >"]],
  ["return a === b;", []],
  ["return 5;", ["5 → 6", "5 → 4"]],
  ["return 5n;", ["5n → 6n", "5n → 4n"]],
  ["stop();", ["without stop()"]],
  ["await stop?.();", ["without stop?.()"]],
  ["void stop();", ["without stop()"]],
  ["return stop();", []],
  ["return put(a, b);", ["a ⇄ b"]],
  ["return new Pair(a, b, c);", ["a ⇄ b", "b ⇄ c"]],
  [`return put(a, {}); return put("a", 1n); return put(a, a); return put(...a, b);`, ["1n → 2n", "1n → 0n"]],
  ["return Math.max(a, b);", []],
  ["if (a) return;", ["a is true", "a is false"]],
  ["while (a) b = c;", ["a is false"]],
  ["return a ? b : c;", ["a is true", "a is false"]],
  ["return a && b;", ["without && b", "without a &&"]],
  ["return a ?? b;", ["without ?? b"]],
  [`assert(a < 5, "so it is");`, []],
  ["const a: 5 = b as 5; return { 5: a };", []],
])("%s", (code, expected) => {
  expect(changes(code)).toEqual(expected);
});

it("leaves alone what runs when the module is loaded, and names the line", () => {
  const text = "const MOST = 5;\nexport class A {\n  b() {\n    return 7;\n  }\n}\n";
  expect(instrument("a.ts", text, 3).mutants).toEqual([
    { id: 3, file: "a.ts", line: 4, code: "return 7;", change: "7 → 8" },
    { id: 4, file: "a.ts", line: 4, code: "return 7;", change: "7 → 6" },
  ]);
});

it("does what the source does until a mutant is on, and then what the mutant does", () => {
  const text = "return (a, b, put) => { if (a < b && a > 1) put(a, b); else put?.(b); };";
  const { code, mutants } = instrument("a.ts", `function f() { ${text} }`, 1);
  const run = (active: number, a: number, b: number) => {
    const put: number[][] = [];
    const made = runInNewContext(`${code}; f();`, { $mutant: (id: number) => id === active });
    made(a, b, (...args: number[]) => put.push(args));
    return put;
  };
  const by = (change: string) => mutants.find((each) => each.change === change)?.id ?? 0;
  expect(run(0, 2, 3)).toEqual([[2, 3]]);
  expect(run(0, 3, 3)).toEqual([[3]]);
  expect(run(by("< → <="), 3, 3)).toEqual([[3, 3]]);
  expect(run(by("a ⇄ b"), 2, 3)).toEqual([[3, 2]]);
  expect(run(by("without put(a, b)"), 2, 3)).toEqual([]);
  expect(run(by("without put?.(b)"), 3, 3)).toEqual([]);
  expect(run(by("without && a > 1"), 0, 3)).toEqual([[0, 3]]);
  expect(run(by("a < b && a > 1 is false"), 2, 3)).toEqual([[3]]);
});

it("writes swapped arguments alone for the compiler, without those that it refused", () => {
  const source = "function f() { if (a) put(a, b, c); }";
  const { code } = instrument("a.ts", source, 1, { without: new Set() });
  expect(code).toBe(
    "function f() { if (a) put(($mutant(4) ? b : a), ($mutant(4) ? a : $mutant(5) ? c : b), ($mutant(5) ? b : c)); }",
  );
  expect(instrument("a.ts", source, 1, { without: new Set([4, 5]) }).code).toBe(source);
});

it("reads at which switch an error of the compiler points, at the whole argument or at one half", () => {
  const texts = new Map([["a.ts", "x\nput(($mutant(4) ? b : a), ($mutant(4) ? a : $mutant(5) ? c : b));"]]);
  expect(readErrors("a.ts(2,5): error TS1: no.", texts)).toEqual(new Set([4]));
  expect(readErrors("a.ts(2,20): error TS1: no.", texts)).toEqual(new Set([4]));
  expect(readErrors("a.ts(2,58): error TS1: no.\nb.ts(1,1): error TS1: no.", texts)).toEqual(new Set([5]));
});
