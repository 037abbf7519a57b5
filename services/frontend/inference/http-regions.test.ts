import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SharedRegions } from "#lib/shared/shared-regions";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";
import { TestObjects } from "../../../test/support/shared-object.ts";
import { mayNameRegions } from "./http-regions.ts";

const WORD = "shared_memory_region";

it("the word is found wherever the chunks of a body cut it, and nowhere else", () => {
  const body = Buffer.from(`{"parameters":{"${WORD}":"r"}}`);
  for (let at = 0; at <= body.length; at++) {
    expect(mayNameRegions([body.subarray(0, at), body.subarray(at)]), `cut at ${at}`).toBe(true);
  }
  expect(mayNameRegions([...body].map((byte) => Buffer.of(byte)))).toBe(true);
  expect(mayNameRegions([Buffer.from(WORD.slice(1)), Buffer.from("s"), Buffer.from(WORD.slice(0, -1))])).toBe(false);
  expect(mayNameRegions([])).toBe(false);
});

describe("a model of text", () => {
  const objects = new TestObjects();
  const regions = new SharedRegions();
  const input = objects.create(Buffer.from("0500000068656c6c6f", "hex"));
  const output = objects.create(16);
  let rehearsal: Rehearsal;
  let dispatcher: RehearsalDispatcher;
  beforeAll(async () => {
    dispatcher = new RehearsalDispatcher({ running: true, reply: () => ({ tokens: encodeBytes("hi") }) });
    const inference = { ledger: { model: () => undefined }, serverName: "stator", regions };
    rehearsal = await openRehearsal(dispatcher, { inference });
    regions.register({ name: "in", key: input.key, offsetBytes: 0, lengthBytes: 9 });
    regions.register({ name: "out", key: output.key, offsetBytes: 0, lengthBytes: 16 });
  });
  afterAll(async () => {
    await rehearsal.frontend.close({ drainMs: 0 });
    regions.close();
    objects.remove();
  });

  const part = (region: string, bytes: number) => ({ [WORD]: region, shared_memory_byte_size: bytes });
  const infer = async (fields: object): Promise<[number, unknown]> => {
    const response = await fetch(`${rehearsal.url}/v2/models/rehearsal/infer`, {
      method: "POST",
      body: JSON.stringify({
        inputs: [{ name: "text_input", shape: [1], datatype: "BYTES", parameters: part("in", 9) }],
        ...fields,
      }),
    });
    return [response.status, await response.json()];
  };

  it("reads inputs from regions", async () => {
    const [status, answer] = await infer({});
    expect([status, answer]).toMatchObject([200, { outputs: [{ name: "text_output", data: ["hi"] }, {}] }]);
    expect(dispatcher.requests.at(-1)!.input.prompts[0]!.length).toBe(6);
    expect(regions.copiedBytes).toBe(0);
  });

  it("writes outputs into regions and says where they are", async () => {
    const outputs = [{ name: "text_output", parameters: part("out", 16) }, { name: "finish_reason" }];
    const [status, answer] = await infer({ outputs });
    const shared = { name: "text_output", datatype: "BYTES", shape: [1], parameters: part("out", 6) };
    const plain = { name: "finish_reason", datatype: "BYTES", shape: [1], data: ["stop"] };
    expect([status, answer]).toMatchObject([200, { outputs: [shared, plain] }]);
    expect((answer as { outputs: object[] }).outputs[0]).not.toHaveProperty("data");
    expect(output.read().subarray(0, 6).toString("hex")).toBe("020000006869");
  });

  it("tells what is wrong with a region, and holds none then", async () => {
    const inputs = (region: string, bytes: number) => ({
      inputs: [{ name: "text_input", shape: [1], datatype: "BYTES", parameters: part(region, bytes) }],
    });
    expect(await infer(inputs("none", 9))).toEqual([expect.any(Number), { error: expect.stringContaining("none") }]);
    expect(await infer(inputs("in", 10))).toMatchObject([400, {}]);
    const small = { outputs: [{ name: "text_output", parameters: part("out", 4) }] };
    expect(await infer(small)).toMatchObject([400, { error: expect.stringContaining("text_output") }]);
    input.cut(3);
    expect(await infer({})).toMatchObject([400, {}]);
    regions.clear();
    expect(regions.open).toBe(0);
  });
});
