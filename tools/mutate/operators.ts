import type { CallExpression, Expression, NewExpression, Node } from "oxc-parser";

/** Another way to write a node: what it says then, and in words what was changed. */
export interface Alternative {
  readonly code: string;
  readonly change: string;
}

const EDGES: Readonly<Record<string, string>> = { "<": "<=", "<=": "<", ">": ">=", ">=": ">" };

/** What may stand in place of an expression: the other edge of a comparison, a neighbour of a number, half of a condition. */
export function alternativesOf(node: Node, text: string): Alternative[] {
  const say = ({ start, end }: Node) => text.slice(start, end);
  switch (node.type) {
    case "BinaryExpression": {
      const edge = EDGES[node.operator];
      if (edge === undefined) return [];
      return [{ code: `${say(node.left)} ${edge} ${say(node.right)}`, change: `${node.operator} → ${edge}` }];
    }
    case "LogicalExpression": {
      const left = { code: say(node.left), change: `without ${node.operator} ${short(say(node.right))}` };
      if (node.operator === "??") return [left];
      return [left, { code: say(node.right), change: `without ${short(say(node.left))} ${node.operator}` }];
    }
    case "Literal":
      return neighbours(node.value, say(node));
    default:
      return [];
  }
}

function neighbours(value: unknown, said: string): Alternative[] {
  if (typeof value === "number") {
    return [value + 1, value - 1].map((next) => ({ code: `(${next})`, change: `${said} → ${next}` }));
  }
  if (typeof value !== "bigint") return [];
  return [value + 1n, value - 1n].map((next) => ({ code: `(${next}n)`, change: `${said} → ${next}n` }));
}

/** The values that the test of a branch or a loop may be held to; a loop is never held to true. */
export function heldTests(parent: Node): readonly boolean[] {
  if (parent.type === "IfStatement" || parent.type === "ConditionalExpression") return [true, false];
  return parent.type === "WhileStatement" || parent.type === "DoWhileStatement" ? [false] : [];
}

/** The call that a statement consists of: `call()`, `await call()` or `void call()`. An assertion is none. */
export function droppableCall(statement: Node): CallExpression | undefined {
  if (statement.type !== "ExpressionStatement") return undefined;
  let { expression }: { expression: Expression } = statement;
  if (expression.type === "AwaitExpression") expression = expression.argument;
  else if (expression.type === "UnaryExpression" && expression.operator === "void") expression = expression.argument;
  if (expression.type === "ChainExpression") expression = expression.expression;
  if (expression.type !== "CallExpression" || expression.callee.type === "Super") return undefined;
  return isAssertion(expression) ? undefined : expression;
}

/** Whether it states what always holds: changed assertions hold as well. */
export function isAssertion(node: Node): boolean {
  return node.type === "CallExpression" && node.callee.type === "Identifier" && node.callee.name === "assert";
}

/** Whether argument `at` and the next one may change places, as far as can be seen without types. */
export function maySwap(call: CallExpression | NewExpression, at: number, text: string): boolean {
  const [one, other] = [call.arguments[at], call.arguments[at + 1]];
  if (!one || !other || /^Math\.(max|min)$/.test(text.slice(call.callee.start, call.callee.end))) return false;
  if (text.slice(one.start, one.end) === text.slice(other.start, other.end)) return false;
  const [kind, otherKind] = [kindOf(one), kindOf(other)];
  if (kind === "whole" || otherKind === "whole") return false;
  return kind === otherKind || kind === "any" || otherKind === "any";
}

/** `whole`: a spread, or a literal of a function, an object or a list; it is seldom of its neighbour's type. */
function kindOf(argument: Node): string {
  switch (argument.type) {
    case "SpreadElement":
    case "ArrowFunctionExpression":
    case "FunctionExpression":
    case "ObjectExpression":
    case "ArrayExpression":
      return "whole";
    case "TemplateLiteral":
      return "string";
    case "Literal":
      return typeof argument.value;
    default:
      return "any";
  }
}

/** A piece of code in one line of at most 60 characters. */
export function short(code: string): string {
  const line = code.replace(/\s+/g, " ");
  return line.length <= 60 ? line : `${line.slice(0, 59)}…`;
}
