import { expect, test } from "vitest";
import { type Column, printTable } from "./table.ts";

const COLUMNS: readonly Column<{ name: string; size: number }>[] = [
  ["NAME", ({ name }) => name],
  ["SIZE", ({ size }) => size],
];

test("rows stand below their headings, whatever their letters take", () => {
  const rows = [
    { name: "日本", size: 12 },
    { name: "", size: 3 },
    { name: "a\nb", size: 4 },
  ];
  expect(printTable(COLUMNS, rows)).toBe("NAME  SIZE\n日本  12\n-     3\na b   4");
  expect(printTable(COLUMNS, [])).toBe("NAME  SIZE");
});
