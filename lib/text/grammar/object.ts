import { anyOf, isPlain, literal, plainWithout, type RuleBook } from "./rules.ts";

/** A property that a document may or must have. */
export interface Property {
  /** As it is, without quotes or escapes. */
  readonly name: string;
  /** Expression of its value. */
  readonly value: string;
  /** A document without it is none. */
  readonly required: boolean;
}

/** One node of the trie of names that are taken. */
interface Taken {
  readonly next: Map<string, Taken>;
  ends: boolean;
}

function trieOf(names: readonly string[]): Taken {
  const root: Taken = { next: new Map(), ends: false };
  for (const name of names) {
    let node = root;
    for (const character of name.toWellFormed()) {
      let next = node.next.get(character);
      if (!next) {
        next = { next: new Map(), ends: false };
        node.next.set(character, next);
      }
      node = next;
    }
    node.ends = true;
  }
  return root;
}

/**
 * What may follow a prefix of taken names so that the whole is none of them. Such a name is written without escapes, so
 * that it cannot spell a taken one.
 */
function otherThan(rules: RuleBook, node: Taken): string {
  const parts: string[] = node.ends ? [] : ['""'];
  parts.push(`${plainWithout(node.next.keys())} ${rules.add(`${plainWithout([])}*`)}`);
  for (const [character, next] of node.next) {
    if (isPlain(character)) parts.push(`${literal(character)} ${otherThan(rules, next)}`);
  }
  return rules.add(parts.join(" | "));
}

/**
 * Expression of an object with these properties in this order, and any others of the kind `extra` behind them.
 * The size is linear in the number of properties.
 */
export function objectExpression(rules: RuleBook, properties: readonly Property[], extra: string | undefined): string {
  const ws = rules.shared("ws");
  const pairs = properties.map(
    ({ name, value }) => `${literal(JSON.stringify(name.toWellFormed()))} ":" ${ws} ${value}`,
  );
  let rest = '""';
  /** Members from here on, nothing before them. */
  let first = '""';
  if (extra !== undefined) {
    const key = properties.length === 0 ? rules.shared("string") : otherKey(rules, properties);
    const pair = rules.add(`${key} ":" ${ws} ${extra}`);
    rest = rules.add(`( "," ${ws} ${pair} )*`);
    first = rules.add(`( ${pair} ${rest} )?`);
  }
  for (let at = pairs.length - 1; at >= 0; at--) {
    const pair = rules.add(pairs[at] ?? "");
    const required = properties[at]?.required ?? false;
    first = rules.add(required ? `${pair} ${rest}` : anyOf([`${pair} ${rest}`, first]));
    rest = rules.add(required ? `"," ${ws} ${pair} ${rest}` : `( "," ${ws} ${pair} )? ${rest}`);
  }
  if (first === '""') return rules.add(`"{" ${ws} "}"`);
  return rules.add(`"{" ${ws} ${first} ${ws} "}"`);
}

function otherKey(rules: RuleBook, properties: readonly Property[]): string {
  return `"\\"" ${otherThan(rules, trieOf(properties.map(({ name }) => name)))} "\\""`;
}
