import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { pages } from "./pages.ts";

test("a room without a README is found", () => {
  const tree = treeOf({ "lib/kv/block.ts": "", "lib/api/sse.ts": "", "lib/api/README.md": "# SSE\n" });
  expect(pages(tree)).toEqual(["lib/kv: no README.md"]);
});

test("a page has one title, on its first line; code does not count", () => {
  const page = (text: string) => pages(treeOf({ "docs/a.md": text }));
  expect(page("# A\n\n```sh\n# a comment\n```\n\n## B\n")).toEqual([]);
  expect(page("# A\n\n# B\n")).toEqual(["docs/a.md: 2 titles"]);
  expect(page("text\n")).toEqual(["docs/a.md: 0 titles"]);
  expect(page("text\n# A\n")).toEqual(["docs/a.md: the title is not on the first line"]);
});
