import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, expect, test } from "vitest";
import { openTrace } from "./open-trace.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-trace-"));
afterAll(() => rmSync(folder, { recursive: true }));

const OPTIONS = { format: "mooncake", blockTokens: 16 } as const;

/** Rows of some 200 bytes. */
function write(name: string, rows: number, pack: (text: string) => string | Uint8Array = (text) => text): string {
  const hash_ids = Array.from({ length: 20 }, (_, at) => 1e6 + at);
  const lines = Array.from({ length: rows }, (_, at) =>
    JSON.stringify({ timestamp: at, input_length: 320, output_length: 1, hash_ids }),
  );
  const file = path.join(folder, name);
  writeFileSync(file, pack(lines.join("\n")));
  return file;
}

test("a file is read plain or gzipped, again for everybody who goes through it", () => {
  const plain = [...openTrace(write("plain.jsonl", 30_000), OPTIONS)];
  expect(plain).toHaveLength(30_000);
  expect(plain.at(-1)!.atMs).toBe(29_999);
  const packed = openTrace(write("packed.jsonl.gz", 30_000, gzipSync), OPTIONS);
  expect([...packed]).toEqual(plain);
  expect([...packed]).toEqual(plain);
});

test.each(["plain.jsonl", "packed.gz"])("of %s no more is read than is taken", (name) => {
  // What is wrong far behind is never met.
  const spoil = (text: string): string => `${text}\n{"timestamp": "later"}`;
  const pack = (text: string): string | Uint8Array => (name.endsWith("gz") ? gzipSync(spoil(text)) : spoil(text));
  const rows = openTrace(write(name, 50_000, pack), OPTIONS);
  expect(() => [...rows]).toThrow("Row 50001 of the trace has a wrong input_length");
  let taken = 0;
  for (const { index } of rows) {
    expect(index).toBe(taken++);
    if (taken === 10) break;
  }
  expect(taken).toBe(10);
});

test("a file that is missing or damaged is named", () => {
  expect(() => [...openTrace(path.join(folder, "none"), OPTIONS)]).toThrow(/^There is no file .*none\. Give a trace/);
  expect(() => [...openTrace(folder, OPTIONS)]).toThrow(`The trace ${folder} cannot be read: it is a folder`);
  const cut = write("cut.gz", 5_000, (text) => gzipSync(text).subarray(0, 500));
  expect(() => [...openTrace(cut, OPTIONS)]).toThrow(/cut.gz cannot be unpacked: unexpected end of file/);
});

test("an empty file is a trace without rows", () => {
  expect([...openTrace(write("empty", 0), OPTIONS)]).toEqual([]);
});
