import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { LINES } from "../../../test/fixtures/lines/door.ts";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";
import { DOORS } from "./doors.ts";

// The door of docs/a-new-door.md: a folder and a row, and nothing else that knows it.

const file = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

test("the page shows the door as it is", () => {
  const blocks = [...file("docs/a-new-door.md").matchAll(/^```ts (\S+)\n(.*?)^```$/gms)];
  expect(blocks.map(([, name]) => name)).toEqual(["read.ts", "print.ts", "door.ts"]);
  for (const [, name, code] of blocks) expect(code).toBe(file(`test/fixtures/lines/${name}`));
});

let rehearsal: Rehearsal;
let dispatcher: RehearsalDispatcher;
beforeAll(async () => {
  const said = ["three", "fa"];
  const reply = (_: object, choice: number) => ({ tokens: encodeBytes(said[choice]!) });
  dispatcher = new RehearsalDispatcher({ running: true, reply });
  rehearsal = await openRehearsal(dispatcher, { doors: [...DOORS, LINES] });
});
afterAll(() => rehearsal.frontend.close({ drainMs: 0 }));

const ask = (fields: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${rehearsal.url}/toy/lines`, {
    method: "POST",
    body: JSON.stringify({ model: "rehearsal", lines: ["1,2,", "do,re,"], ...fields }),
    headers: { "content-type": "application/json", ...headers },
  });

describe("a new door", () => {
  it("answers several prompts as a whole, by what the model and the headers say", async () => {
    const response = await ask({ most: 4 }, { "x-stator-worker": "ab", "x-request-id": "r7" });
    expect(await response.json()).toEqual({ lines: ["thre", "fa"], tokens: 6 });
    expect(response.headers.get("x-stator-worker")).toBe("0000000000005f3a");
    const { route, requestId, target, input, sampling } = dispatcher.requests.at(-1)!;
    expect({ route, requestId, target }).toEqual({
      ...{ route: "lines", requestId: "r7" },
      target: { worker: 0xabn, rank: undefined },
    });
    expect([input.prompts.length, sampling.temperature]).toEqual([2, 1]);
  });

  it("answers as it goes", async () => {
    const response = await ask({ live: true, number: true });
    const events = (await response.text()).split("\n\n").filter((event) => event !== "");
    const said = events.map((event) => JSON.parse(event.slice("data: ".length)) as Record<string, unknown>);
    const textOf = (line: number) =>
      said.map((event) => (event.line === line ? (event.text ?? event.finish) : "")).join("");
    expect([textOf(0), textOf(1), said.at(-1)]).toEqual(["threestop", "fastop", { tokens: 7 }]);
  });

  it("reads long bodies in the thread, and they are answered alike", async () => {
    const short = JSON.stringify({ model: "rehearsal", lines: ["x".repeat(3000), "y"] });
    const response = await fetch(`${rehearsal.url}/toy/lines`, { method: "POST", body: " ".repeat(70_000) + short });
    expect(await response.json()).toEqual({ lines: ["three", "fa"], tokens: 7 });
    expect(dispatcher.requests.at(-1)!.input.prompts[0]!.length).toBe(3001);
  });

  it("tells errors in its own form and its own words, and the port's others in theirs", async () => {
    const wrong = async (response: Response) => [response.status, await response.json()];
    const tooLong = { lines: ["x".repeat(5000)] };
    expect(await wrong(await ask({ most: 0, model: "m" }))).toEqual([400, { wrong: expect.stringContaining("most") }]);
    expect(await wrong(await ask({ model: "m" }))).toEqual([404, { wrong: expect.stringContaining("m") }]);
    expect(await wrong(await ask(tooLong))).toEqual([400, { wrong: expect.stringContaining("5000") }]);
    expect(await wrong(await fetch(`${rehearsal.url}/toy/lines`))).toEqual([405, { wrong: expect.any(String) }]);
    expect(await wrong(await fetch(`${rehearsal.url}/toy`))).toEqual([404, { error: expect.anything() }]);
  });

  it("is counted and documented by its row", async () => {
    expect(await rehearsal.metrics.print()).toMatch(/requests_total\{route="lines",outcome="ok"\} 3/);
    const document = (await (await fetch(`${rehearsal.url}/openapi.json`)).json()) as {
      paths: Record<string, { post?: { responses: object } }>;
      components: { schemas: object };
    };
    expect(JSON.stringify(document.paths["/toy/lines"]?.post?.responses)).toContain("#/components/schemas/Wrong");
    expect(document.components.schemas).toHaveProperty("ContinueLinesRequest");
    expect(document.paths).toHaveProperty(["/v1/chat/completions"]);
  });
});
