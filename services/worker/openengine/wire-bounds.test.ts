import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { describe, expect, it, test } from "vitest";
import { GenerateRequestSchema } from "#gen/openengine/v1/generation_pb";
import { parse } from "#lib/rpc/serialize";
import { FakeEngine } from "../../../test/support/fake-engine.ts";
import { heldShare } from "../../../test/support/loop-watch.ts";
import { readAsk } from "./request.ts";
import { checkControlBytes, checkGenerateBytes, WIRE_BOUNDS, type WireBounds } from "./wire-bounds.ts";

const context = {
  engine: new FakeEngine({}),
  names: { model: "fake-model", hasAdapter: () => false },
  priority: 0,
  traceparent: undefined,
  seed: 1n,
};

type Request = Parameters<typeof create<typeof GenerateRequestSchema>>[1];
const bytesOf = (request: Request) => toBinary(GenerateRequestSchema, create(GenerateRequestSchema, request));
const ids = (count: number, id = 1) =>
  ({ case: "tokenIds", value: { ids: new Array<number>(count).fill(id) } }) as const;
const base = { requestId: "r", input: ids(3) };
const guided = (schema: string) => ({ ...base, guided: { guide: { case: "jsonSchema", value: schema } } }) as const;
const fill = (item: string, bytes: number) => `${`${item},`.repeat(Math.floor(bytes / (item.length + 1)))}${item}`;

/** What is done with a request from its bytes on, up to the engine. */
function read(bytes: Uint8Array): void {
  checkGenerateBytes(bytes);
  readAsk(parse(GenerateRequestSchema, bytes), context);
}

const worst: Readonly<Record<string, Uint8Array>> = {
  "token ids": bytesOf({ ...base, input: ids(196_000) }),
  "too many token ids": bytesOf({ ...base, input: ids(390_000) }),
  "token ids, each by itself": unpacked(98_000),
  "fields that repeat": new Uint8Array(WIRE_BOUNDS.message).fill(0x2a).map((_, at) => (at % 2 === 0 ? 0x2a : 0)),
  "empty conditions": bytesOf({ ...base, stopping: { conditions: Array.from({ length: 20_000 }, () => ({})) } }),
  "too many conditions": bytesOf({ ...base, stopping: { conditions: Array.from({ length: 180_000 }, () => ({})) } }),
  "one stop text": bytesOf({
    ...base,
    stopping: { conditions: [{ condition: { case: "stopText", value: "ab".repeat(20_000) } }] },
  }),
  "a prompt of text": bytesOf({ ...base, input: { case: "prompt", value: "<".repeat(390_000) } }),
  "a schema of branches": bytesOf(guided(`{"anyOf":[${fill('{"minimum":1}', 32_000)}]}`)),
  "a schema of properties": bytesOf(guided(`{"properties":{${fill('"a":{}', 32_000)}}}`)),
  "a deep schema": bytesOf(guided('{"items":'.repeat(3500))),
  "a schema beyond its bound": bytesOf(guided(" ".repeat(40_000))),
  choices: bytesOf({ ...base, guided: { guide: { case: "choice", value: { choices: Array(20_000).fill("") } } } }),
};

function unpacked(count: number): Uint8Array {
  const inner = new BinaryWriter();
  for (let at = 0; at < count; at++) inner.tag(1, 0).uint32(1);
  return new BinaryWriter().tag(1, 2).string("r").tag(4, 2).bytes(inner.finish()).finish();
}

describe("a request of openengine.v1 holds the event loop no longer than", () => {
  it.each(Object.keys(worst))("%s", async (name) => {
    const held = await heldShare(async () => {
      try {
        read(worst[name]!);
      } catch (error) {
        expect(error).toMatchObject({ row: { blame: "caller" } });
      }
    });
    expect(held).toBeLessThanOrEqual(1);
  });
});

test("what is too long is refused by what it is, and a long prompt of ids is taken", () => {
  read(bytesOf({ ...base, input: ids(131_000, 150_000) }));
  const options = {
    ...base,
    input: ids(60_000),
    guided: { guide: { case: "jsonSchema", value: " ".repeat(50_000) } },
  } as const;
  expect(() => read(bytesOf(options))).toThrow("without its prompt: longer than 49152 bytes");
  expect(() => read(worst["too many token ids"]!)).toThrow("token_ids: more than 196608 numbers");
  expect(() => read(bytesOf({ ...base, input: ids(400_000) }))).toThrow("The request: longer than 393216 bytes");
  expect(() => read(worst["a prompt of text"]!)).toThrow("prompt: longer than 65536 characters");
  expect(() => read(worst["one stop text"]!)).toThrow("at most 32 texts of 1024 characters");
  expect(() => read(worst["a schema beyond its bound"]!)).toThrow("guided.json_schema: longer than 32768 characters");
  expect(() => checkControlBytes(new Uint8Array(50_000))).toThrow("longer than 49152 bytes");
});

describe("a request of openengine.v1 may be", () => {
  const refusal = (bytes: Uint8Array, bounds: Partial<WireBounds>, check = checkGenerateBytes): string => {
    try {
      check(bytes, { ...WIRE_BOUNDS, ...bounds });
      return "fine";
    } catch (error) {
      return (error as Error).message;
    }
  };
  const prompt = bytesOf({ requestId: "r", input: ids(40) });
  const head = bytesOf({ requestId: "r" }).length;

  it("as long as the bound, and not a byte longer", () => {
    expect(refusal(prompt, { message: prompt.length })).toBe("fine");
    expect(refusal(prompt, { message: prompt.length - 1 })).toContain(`longer than ${prompt.length - 1} bytes`);
  });

  it("beside its prompt as long as the bound, and not a byte longer", () => {
    expect(refusal(prompt, { options: head })).toBe("fine");
    expect(refusal(prompt, { options: head - 1 })).toContain(`without its prompt: longer than ${head - 1} bytes`);
    const text = bytesOf({ requestId: "r", input: { case: "prompt", value: "x".repeat(40) } });
    expect(refusal(text, { options: head })).toBe("fine");
  });

  it("of as many token ids as the bound, and not one more", () => {
    // The tags of the message and of its list count as numbers, and their lengths.
    const numbers = 40 + 4;
    expect(refusal(prompt, { options: head, ids: numbers })).toBe("fine");
    expect(refusal(prompt, { options: head, ids: numbers - 1 })).toContain(`more than ${numbers - 1} numbers`);
  });

  it("as long as the smaller bound when it only controls something", () => {
    expect(refusal(prompt, { options: prompt.length }, checkControlBytes)).toBe("fine");
    expect(refusal(prompt, { options: prompt.length - 1 }, checkControlBytes)).toContain("longer than");
  });

  it("of 64 fields, and not one more", () => {
    const fields = (count: number) => new Uint8Array(count * 2).map((_, at) => (at % 2 === 0 ? 0x28 : 0));
    expect(refusal(fields(64), { options: 127 })).toContain("without its prompt");
    expect(refusal(fields(65), { options: 127 })).toContain("too many fields");
  });
});
