import type { OpenedText } from "./compose/model-text.ts";
import type { Paint } from "./screen.ts";
import { type Column, printTable } from "./table.ts";

/** One token, as `--json` prints it. */
export interface ShownToken {
  /** Of the model's vocabulary. */
  readonly id: number;
  /** What its bytes read as, with U+FFFD where they are no character of their own. */
  readonly piece: string;
  /** Whether it is one that no text but a template's names. */
  readonly control: boolean;
}

/** Tokens with what they stand for. */
export function showTokens(tokens: Uint32Array, { text, isControl }: OpenedText): ShownToken[] {
  const decoder = new TextDecoder();
  return Array.from(tokens, (id) => ({ id, piece: decoder.decode(text.piece(id)), control: isControl(id) }));
}

const COLUMNS: readonly Column<readonly [number, ShownToken]>[] = [
  ["AT", ([at]) => at],
  ["ID", ([, { id }]) => id],
  ["PIECE", ([, { piece }]) => JSON.stringify(piece)],
  ["KIND", ([, { control }]) => (control ? "control" : "text")],
];

/** Tokens as a table, control tokens in a colour of their own. */
export function printTokens(tokens: readonly ShownToken[], paint: Paint): string {
  const [head = "", ...rows] = printTable(COLUMNS, [...tokens.entries()]).split("\n");
  return [head, ...rows.map((row, at) => (tokens[at]?.control ? paint.yellow(row) : row))].join("\n");
}
