import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { loadModule } from "#lib/engines/module/load-module";
import { TENSOR_EXAMPLES } from "#lib/engines/tensor/examples";
import { inferRequest, outputsOf, TensorRig } from "../../../test/support/tensor-worker-rig.ts";
import { settle } from "../../../test/support/worker-rig.ts";

// The models of docs/kserve-tensor-models.md, as a user's module has them.

const file = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");
const page = file("docs/kserve-tensor-models.md");
const rigs: TensorRig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.worker.close();
});

async function serve(name: string): Promise<TensorRig> {
  const module = await loadModule(`test/fixtures/tensors/${name}.ts`);
  if (module.kind !== "tensor") throw new Error(`${name} is ${module.kind}`);
  const rig = new TensorRig(module.models);
  rigs.push(rig);
  return await rig.start();
}

test("the page shows the models as they are", () => {
  const blocks = [...page.matchAll(/^```ts (\S+)\n(.*?)^```$/gms)];
  expect(blocks.map(([, name]) => name)).toEqual(["scale.ts", "words.ts"]);
  for (const [, name, code = ""] of blocks) {
    // Outside of this repository the room has a name of its own.
    expect(code.replace("stator/tensor", "#lib/engines/tensor/model")).toBe(file(`test/fixtures/tensors/${name}`));
  }
  const { exports } = JSON.parse(file("package.json")) as { exports: Record<string, unknown> };
  expect(exports["./tensor"]).toEqual({
    types: "./dist/lib/engines/tensor/model.d.ts",
    default: "./dist/lib/engines/tensor/model.js",
  });
});

test("the page names every example, and its tensors", () => {
  for (const { name, inputs, outputs } of TENSOR_EXAMPLES) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\``));
    expect(row, name).toBeDefined();
    if (row?.includes("the same of")) continue;
    for (const tensor of [...Object.keys(inputs), ...Object.keys(outputs)])
      expect(row, name).toContain(`\`${tensor}\``);
  }
});

test("scale multiplies", async () => {
  const { client } = await serve("scale");
  const inputs = { X: { datatype: "FP32", shape: [2, 1], values: Float32Array.of(1.5, -2) } } as const;
  expect(outputsOf(await client.modelInfer(inferRequest("scale", inputs)))).toEqual({ Y: Float32Array.of(3, -4) });
  const by = (value: string) => ({ parameters: { by: { parameterChoice: { case: "stringParam", value } } } }) as const;
  const ten = await client.modelInfer(inferRequest("scale", inputs, by("10")));
  expect(outputsOf(ten)).toEqual({ Y: Float32Array.of(15, -20) });
  await expect(client.modelInfer(inferRequest("scale", inputs, by("much")))).rejects.toThrow("by is no number.");
});

test("words answers once for each word", async () => {
  const rig = await serve("words");
  const stream = rig.stream();
  const inputs = { TEXT: { datatype: "BYTES", shape: [1], values: [Buffer.from("one two  three")] } } as const;
  stream.send(inferRequest("words", inputs, { id: "w" }));
  stream.halfClose();
  await settle();
  for (let word = 0; word < 3; word++) await rig.advance(10);
  const told = stream.messages.map(({ inferResponse }) => {
    const { WORD } = inferResponse ? outputsOf(inferResponse) : {};
    return Buffer.concat(WORD as readonly Uint8Array[]).toString();
  });
  expect([told.length, stream.status]).toEqual([3, "OK"]);
  expect(told).toEqual(["one", "two", "three"]);
});
