import { symlinkSync } from "node:fs";
import { connect } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ModelStreamInferResponseSchema } from "#gen/inference/infer_pb";
import { GRPCInferenceService } from "#gen/inference/service_pb";
import { asStatorError } from "#lib/base/errors";
import { type BadBody, badBody, badMessage, bytesElement, type Refused, STATUSES } from "../support/bad-infer.ts";
import { first } from "../support/infer-mistakes.ts";
import { LEAKS, Stranger } from "../support/stranger.ts";

const { modelStreamInfer } = GRPCInferenceService.method;

const stranger = new Stranger();
beforeAll(() => stranger.open());
afterAll(() => stranger.close());

const WRONG: Refused = { as: "INVALID_ARGUMENT", words: "" };

describe("a message", () => {
  const numbers = { intContents: new Array<number>(16).fill(1) };
  const head = { datatype: "INT32", shape: [1n, 16n] };
  const text = { name: "text_input", datatype: "BYTES", shape: [1n] };

  it.each<[string, () => Uint8Array, Refused]>([
    [
      "with raw and typed contents",
      () =>
        badMessage(stranger.good.tensor, {
          inputs: ["INPUT0", "INPUT1"].map((name) => ({ name, ...head, contents: numbers })),
        }),
      { ...WRONG, words: "contents field must not be specified" },
    ],
    [
      "with raw contents for one tensor and typed ones for another",
      () =>
        badMessage(stranger.good.tensor, {
          inputs: [
            { name: "INPUT0", ...head },
            { name: "INPUT1", ...head, contents: numbers },
          ],
          rawInputContents: [Buffer.alloc(64)],
        }),
      { ...WRONG, words: "contents field must not be specified" },
    ],
    [
      "with contents of another field",
      () =>
        badMessage(stranger.good.tensor, {
          inputs: ["INPUT0", "INPUT1"].map((name) => ({
            name,
            ...head,
            contents: { fp32Contents: new Array<number>(16).fill(1) },
          })),
          rawInputContents: [],
        }),
      { ...WRONG, words: "contents of another datatype" },
    ],
    [
      "with a text in the field of numbers",
      () =>
        badMessage(stranger.good.text, { inputs: [{ ...text, contents: { intContents: [1] } }], rawInputContents: [] }),
      { ...WRONG, words: "contents of another datatype" },
    ],
    [
      "with numbers that are too large for their datatype",
      () =>
        badMessage(
          { ...stranger.good.tensor, model: "simple_int8" },
          {
            inputs: ["INPUT0", "INPUT1"].map((name) => ({
              ...{ name, datatype: "INT8", shape: [1n, 16n] },
              contents: { intContents: new Array<number>(16).fill(128) },
            })),
            rawInputContents: [],
          },
        ),
      { ...WRONG, words: "INPUT0" },
    ],
    [
      "with more raw contents than inputs",
      () => badMessage(stranger.good.text, { rawInputContents: [bytesElement("a"), bytesElement("b")] }),
      { ...WRONG, words: "2 raw contents for 1 inputs" },
    ],
    [
      "with a text that is no UTF-8 in typed contents",
      () =>
        badMessage(stranger.good.text, {
          inputs: [{ ...text, contents: { bytesContents: [Uint8Array.of(0xc3)] } }],
          rawInputContents: [],
        }),
      { ...WRONG, words: "not valid UTF-8" },
    ],
  ])("%s is refused, and what follows is served", async (_, bytes, refused) => {
    await stranger.expectRefusedByGrpc(bytes(), refused);
    await stranger.stillServes();
  });

  it.each<[string, () => Uint8Array]>([
    ["of no protocol", () => Buffer.from("ffffffffffffffffffffff", "hex")],
    ["that is cut", () => badMessage(stranger.good.text).subarray(0, -3)],
    ["whose model is named in no UTF-8", () => Uint8Array.of(0x0a, 2, 0xc3, 0x28)],
    ["whose id is no UTF-8", () => Buffer.concat([badMessage(stranger.good.text), Uint8Array.of(0x1a, 1, 0xff)])],
    [
      "whose tensor is named in no UTF-8",
      () => {
        return Buffer.concat([badMessage({ model: "simple", inputs: [] }), Uint8Array.of(0x2a, 3, 0x0a, 1, 0xff)]);
      },
    ],
  ])("%s is refused by its call alone", async (_, bytes) => {
    const [code, sentence] = await stranger.whole(bytes());
    expect([code, sentence]).toEqual([STATUSES.INVALID_ARGUMENT.grpc, expect.not.stringMatching(LEAKS)]);
    expect((await stranger.streamed(bytes())).error).toEqual(expect.stringMatching(/./));
    await stranger.stillServes();
  });
});

it("a message beyond the limit of the ports is refused unread, and what follows is served", async () => {
  const raw = bytesElement(Buffer.alloc(17 * 1024 * 1024, "a"));
  const inputs = [{ name: "INPUT0", datatype: "BYTES", shape: [1, 1], raw }];
  const [code, sentence] = await stranger.whole(badMessage({ model: "simple_identity", inputs }));
  expect([code, sentence]).toEqual([8, expect.not.stringMatching(LEAKS)]);
  expect(await stranger.posted(badBody({ model: "simple_identity", inputs }))).toEqual([
    413,
    { error: expect.not.stringMatching(LEAKS) },
  ]);
  await stranger.stillServes();
});

describe("a body", () => {
  const json = (inputs: unknown) => Buffer.from(JSON.stringify({ inputs }));
  const infer = (model: string) => `/v2/models/${model}/infer`;

  it.each<[string, () => BadBody, Refused["words"]]>([
    [
      "shorter than its header says",
      () => ({ ...badBody(stranger.good.tensor), jsonBytes: "99999" }),
      "says 99999 bytes",
    ],
    [
      "with a header that is no number",
      () => ({ ...badBody(stranger.good.text), jsonBytes: "12x" }),
      "not a number of bytes",
    ],
    ["with a negative header", () => ({ ...badBody(stranger.good.text), jsonBytes: "-1" }), "not a number of bytes"],
    ["with a header of 0", () => ({ ...badBody(stranger.good.tensor), jsonBytes: "0" }), "JSON"],
    ["cut by its header", () => ({ ...badBody(stranger.good.tensor), jsonBytes: "40" }), "JSON"],
    [
      "with less behind it than an input says",
      () => {
        const { body, ...more } = badBody(stranger.good.tensor);
        return { ...more, body: body.subarray(0, -1) };
      },
      "INPUT1|inputs\\[1\\]",
    ],
    [
      "with more behind it than its inputs say",
      () => {
        const { body, ...more } = badBody(stranger.good.tensor);
        return { ...more, body: Buffer.concat([body, Buffer.alloc(1)]) };
      },
      "byte",
    ],
    ["that is no UTF-8", () => ({ path: infer("simple"), body: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]) }), "UTF-8"],
    [
      "with texts in place of numbers",
      () => ({
        path: infer("simple"),
        body: json([{ name: "INPUT0", datatype: "INT32", shape: [1, 1], data: ["a"] }]),
      }),
      "inputs[0]",
    ],
    [
      "with fractions in place of whole numbers",
      () => ({
        path: infer("simple"),
        body: json([{ name: "INPUT0", datatype: "INT32", shape: [1, 1], data: [1.5] }]),
      }),
      "inputs[0]",
    ],
    [
      "with a number that is too large",
      () => ({
        path: infer("simple_int8"),
        body: json([{ name: "INPUT0", datatype: "INT8", shape: [1, 1], data: [128] }]),
      }),
      "inputs[0]",
    ],
    [
      "with data and bytes behind it for one input",
      () => ({
        path: infer("simple"),
        body: json([
          { name: "INPUT0", datatype: "INT32", shape: [1, 1], data: [1], parameters: { binary_data_size: 4 } },
        ]),
      }),
      "inputs[0]",
    ],
    [
      "with fewer elements than its shape says",
      () => ({
        path: infer("simple"),
        body: json(["INPUT0", "INPUT1"].map((name) => ({ name, datatype: "INT32", shape: [1, 16], data: [1, 2] }))),
      }),
      "INPUT0|inputs\\[0\\]",
    ],
    [
      "with half a surrogate pair",
      () => ({
        path: infer("simple"),
        body: Buffer.from('{"inputs":[{"name":"\\ud800","datatype":"INT32","shape":[1],"data":[1]}]}'),
      }),
      "",
    ],
  ])("%s is refused, and what follows is served", async (_, body, words) => {
    const pattern = typeof words === "string" && words.includes("|") ? new RegExp(words) : words;
    await stranger.expectRefusedByHttp(body(), { as: "INVALID_ARGUMENT", words: pattern });
    await stranger.stillServes();
  });
});

describe("shared memory", () => {
  const part = (region: string, more: Record<string, number> = {}) => ({
    raw: undefined,
    parameters: { shared_memory_region: region, shared_memory_byte_size: 64, ...more },
  });
  const told = (error: unknown) => {
    const { row, message } = asStatorError(error);
    return [row.grpc, message];
  };
  const register = async (name: string, key: string, byteSize: number): Promise<void> => {
    await stranger.client.systemSharedMemoryRegister({ name, key, byteSize: BigInt(byteSize) });
  };

  it("has no key that leaves its folder, is a link or a folder, or is shorter than said", async () => {
    const link = stranger.objects.path();
    symlinkSync("/etc/passwd", link);
    const { key } = stranger.objects.create(64);
    const keys: readonly [string, number, string][] = [
      ["/../etc/passwd", 3, "key: expected"],
      ["../../etc/passwd", 3, "key: expected"],
      ["/etc/passwd", 3, "key: expected"],
      ["..", 3, "key: expected"],
      ["/", 3, "key: expected"],
      ["", 3, "key: expected"],
      ["/a\0b", 3, "key: expected"],
      [`/${link.split("/").at(-1)}`, 3, "link"],
      ["/stator-nobody-made-it", 5, "was not found"],
    ];
    for (const [given, code, words] of keys) {
      const refused = await register("bad", given, 64).catch(told);
      expect(refused, given).toEqual([code, expect.stringContaining(words)]);
      expect(String(refused)).not.toMatch(/root:|ENOENT|ELOOP|\/dev\/shm/);
      const body = Buffer.from(JSON.stringify({ key: given, offset: 0, byte_size: 64 }));
      const [status, answer] = await stranger.posted({ path: "/v2/systemsharedmemory/region/bad/register", body });
      expect([status, answer], given).toEqual([code === 5 ? 404 : 400, { error: expect.any(String) }]);
    }
    expect(await register("short", key, 65).catch(told)).toEqual([3, expect.stringContaining("has 64")]);
    expect((await stranger.client.systemSharedMemoryStatus({})).regions).toEqual({});
    await stranger.stillServes();
  });

  it("is refused where a request leaves its region, and where it was cut behind its registration", async () => {
    const object = stranger.objects.create(128);
    await register("cut", object.key, 128);
    const { tensor } = stranger.good;
    const asks = {
      right: first(part("cut"))(tensor),
      beyond: first(part("cut", { shared_memory_offset: 65 }))(tensor),
      far: first(part("cut", { shared_memory_offset: Number.MAX_SAFE_INTEGER }))(tensor),
      negative: first(part("cut", { shared_memory_offset: -1 }))(tensor),
      short: first(part("cut", { shared_memory_byte_size: 60 }))(tensor),
    };
    expect(await stranger.whole(badMessage(asks.right))).toEqual([0, ""]);
    for (const bad of [asks.beyond, asks.far, asks.negative, asks.short]) {
      await stranger.expectRefusedByGrpc(badMessage(bad), WRONG);
      await stranger.expectRefusedByHttp(badBody(bad), WRONG);
    }
    object.cut(32);
    await stranger.expectRefusedByGrpc(badMessage(asks.right), WRONG);
    await stranger.expectRefusedByHttp(badBody(asks.right), WRONG);
    const text = first(part("cut", { shared_memory_byte_size: 9 }))(stranger.good.text);
    object.cut(4);
    await stranger.expectRefusedByGrpc(badMessage(text), WRONG);
    await stranger.expectRefusedByHttp(badBody(text), WRONG);
    await stranger.stillServes();
    await stranger.client.systemSharedMemoryUnregister({ name: "cut" });
    await stranger.expectRefusedByGrpc(badMessage(asks.right), { as: "NOT_FOUND", words: "cut" });
    await stranger.stillServes();
  });
});

describe("a stream that half-closes", () => {
  it("in the middle of its requests gets all of their answers", async () => {
    const call = stranger.channel.openBytes(modelStreamInfer);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const answers: Uint8Array[] = [];
    call.receive({ onMessage: (bytes) => void answers.push(bytes), onEnd: resolve });
    for (const good of Object.values(stranger.good)) call.send(badMessage(good));
    call.send(Uint8Array.of(0xff));
    call.end();
    expect(await promise).toBeUndefined();
    const errors = answers.map((bytes) => fromBinary(ModelStreamInferResponseSchema, bytes).errorMessage !== "");
    expect(errors.sort()).toEqual([false, false, true]);
  });

  it("in the middle of a message ends alone", async () => {
    const session = connect(`http://${stranger.grpc}`);
    const ask = (method: string, bytes: Uint8Array) => {
      const stream = session.request({
        ":method": "POST",
        ":path": `/inference.GRPCInferenceService/${method}`,
        ...{ te: "trailers", "content-type": "application/grpc" },
      });
      const { promise, resolve } = Promise.withResolvers<string>();
      let status = "";
      const end = () => resolve(status);
      stream.on("response", (headers) => (status ||= String(headers["grpc-status"] ?? "")));
      stream.on("trailers", (trailers) => (status ||= String(trailers["grpc-status"] ?? "")));
      stream.on("error", end).on("close", end).resume();
      stream.end(bytes);
      return promise;
    };
    const message = badMessage(stranger.good.text);
    const frame = Buffer.concat([Uint8Array.of(0, 0, 0, 0, message.length), message]);
    // What is cut was never a request.
    expect(await ask("ModelStreamInfer", frame.subarray(0, -5))).toBe("0");
    expect(await ask("ModelStreamInfer", frame)).toBe("0");
    expect(await ask("ModelInfer", frame)).toBe("0");
    expect(await ask("ModelInfer", frame.subarray(0, -5))).toBe("3");
    expect(await ask("ModelInfer", Buffer.alloc(0))).toBe("3");
    expect(await ask("ModelInfer", Buffer.concat([frame, frame]))).toBe("3");
    session.close();
    await stranger.stillServes();
  });
});

it("holds nothing when all of it is over, and complains of nothing", () => stranger.expectIdle());
