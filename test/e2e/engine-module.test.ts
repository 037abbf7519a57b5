import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, expect, test } from "vitest";
import { root } from "../../tools/run-tool.ts";
import { Cluster } from "../support/cluster.ts";

const cluster = new Cluster();
const folder = mkdtempSync(path.join(tmpdir(), "stator-engines-"));
const place = ["--discovery", pathToFileURL(folder).href];
afterEach(() => cluster.close());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const page = readFileSync(path.join(root, "docs/engines.md"), "utf8");

/** A program of the page in a file. Here the package has no name, and its room is named in place of it. */
function example(name: string): string {
  const [, code = ""] = new RegExp(`^\`\`\`ts ${name}\n(.*?)^\`\`\`$`, "ms").exec(page) ?? [];
  const room = pathToFileURL(path.join(root, "lib/engines/module/text-engine.ts")).href;
  return fileOf(name, code.replace("stator/engine", room));
}

function fileOf(name: string, code: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, code);
  return file;
}

async function complete(base: string, body: object, signal?: AbortSignal) {
  const response = await fetch(`http://${base}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

const listed = async (base: string): Promise<string[]> => {
  const { data } = (await (await fetch(`http://${base}/v1/models`)).json()) as { data: { id: string }[] };
  return data.map(({ id }) => id).sort();
};

test("the engines of the page serve completions, each under its name", async () => {
  const [{ address }, shout] = await Promise.all([
    cluster.frontend(...place),
    cluster.worker("--engine", `module:${example("shout.ts")}`, ...place),
    cluster.worker("--engine", `module:${example("echo.ts")}`, "--model-name", "again", ...place),
  ]);
  expect(shout.program.stdout).toContain("module worker serves shout on");
  await expect.poll(() => listed(address), { timeout: 10_000 }).toEqual(["again", "shout"]);
  const prompt = "once upon a time";
  expect((await complete(address, { model: "shout", prompt, max_tokens: 3 })).body).toMatchObject({
    choices: [{ text: "ONCE UPON A ", finish_reason: "length" }],
    usage: { prompt_tokens: 4, completion_tokens: 3 },
  });
  const stopped = await complete(address, { model: "shout", prompt, stop: "N A" });
  expect(stopped.body.choices).toMatchObject([{ text: "ONCE UPO", finish_reason: "stop" }]);
  expect((await complete(address, { model: "again", prompt, n: 2 })).body.choices).toMatchObject([
    { text: prompt, finish_reason: "stop" },
    { text: prompt, finish_reason: "stop" },
  ]);
});

test("a worker ends although its module does not: what hangs in it holds up nobody", async () => {
  const file = fileOf(
    "hang.ts",
    `export default {
      name: "hang",
      async *generate(prompt: string) {
        yield "on";
        if (prompt === "wait") await new Promise((resolve) => setTimeout(resolve, 2 ** 30));
      },
    };`,
  );
  const [{ address }, { program }] = await Promise.all([
    cluster.frontend(...place),
    cluster.worker("--engine", `module:${file}`, "--drain-ms", "60000", ...place),
  ]);
  await expect.poll(() => listed(address), { timeout: 10_000 }).toEqual(["hang"]);
  const gone = new AbortController();
  const left = complete(address, { model: "hang", prompt: "wait" }, gone.signal);
  expect((await complete(address, { model: "hang", prompt: "go" })).body.choices[0].text).toBe("on");
  gone.abort();
  await expect(left).rejects.toThrow();
  program.signal("SIGTERM");
  expect(await program.ended).toEqual({ code: 0, signal: null });
  expect(cluster.complaints).toEqual([]);
});

test.each([
  ["an error", "export default () => { throw new Error('no weights'); };", "its default export threw: no weights"],
  ["half a line of TypeScript", "const a: number = {", "it cannot be imported: "],
])("a module that opens %s is one sentence, and the worker ends", async (_, code, words) => {
  const program = cluster.start(["worker", "--engine", `module:${fileOf("wrong.ts", code)}`]);
  expect(await program.ended).toEqual({ code: 1, signal: null });
  expect(program.stderr).toContain(`wrong.ts cannot be used as a model: ${words}`);
});
