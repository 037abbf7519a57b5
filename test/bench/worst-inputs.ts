/** A request that is as much work as its bytes can be. */
export interface WorstInput {
  readonly name: string;
  readonly path: string;
  /** Made when it is asked for: some megabytes. */
  readonly body: () => string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Bytes that a front door takes by default, less a little for what stands around. */
const MOST_BYTES = 8_380_000;

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";
const EMBEDDINGS = "/v1/embeddings";

/** So many repetitions that the body is as long as it may be. */
function filled(piece: string, bytes = MOST_BYTES): string {
  return piece.repeat(Math.floor(bytes / Buffer.byteLength(piece)));
}

/** `"key": value` for so many different keys, as the inside of an object. */
function members(count: number, member: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => member(at)).join(",");
}

const HELLO = `"messages":[{"role":"user","content":"Hello"}]`;

/** A chat request with more members, as text. */
function chat(model: string, more: string, messages = HELLO): string {
  return `{"model":"${model}","max_tokens":1,${messages}${more === "" ? "" : `,${more}`}}`;
}

const said = (content: string): string => `"messages":[{"role":"user","content":${JSON.stringify(content)}}]`;
const format = (schema: string): string =>
  `"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":${schema}}}`;
const object = (properties: string): string => `{"type":"object","properties":{${properties}}}`;
const nested = (open: string, middle: string, close: string, depth: number): string =>
  open.repeat(depth) + middle + close.repeat(depth);

/** Keys, depth and lists where the door knows few of them. */
function shapes(model: string): Record<string, () => string> {
  return {
    "200,000 unknown keys": () =>
      chat(
        model,
        members(200_000, (at) => `"k${at}":0`),
      ),
    "unknown keys near to known ones": () =>
      chat(
        model,
        members(240_000, (at) => `"max_tokenz${at}":0`),
      ),
    "few unknown keys of a megabyte": () =>
      chat(
        model,
        members(7, (at) => `"${at}${filled("a", 1_000_000)}":0`),
      ),
    "the same key again and again": () => chat(model, filled(`"seed":1,`).slice(0, -1)),
    "open brackets": () => filled("["),
    "closed brackets of great depth": () => chat(model, `"metadata":${nested("[", "", "]", 4_000_000)}`),
    "objects of great depth": () => chat(model, `"metadata":${nested('{"a":', "1", "}", 1_000_000)}`),
    "a number of a million digits": () => chat(model, `"temperature":${filled("1", 1_000_000)}`),
    "100,000 numbers of great exponents": () =>
      chat(model, `"logit_bias":{${members(100_000, (at) => `"${at}":1e308`)}}`),
    "200,000 stop strings": () => chat(model, `"stop":[${members(200_000, (at) => `"stop ${at}"`)}]`),
    "metadata of 200,000 keys": () => chat(model, `"metadata":{${members(200_000, (at) => `"k${at}":"v"`)}}`),
    "no JSON at the very end": () => `${chat(model, "").slice(0, -1)},"user":"${filled("a", 8_000_000)}`,
  };
}

/** Messages and their text. */
function texts(model: string): Record<string, () => string> {
  const text = (piece: string) => () => chat(model, "", said(filled(piece, 7_000_000)));
  return {
    "150,000 messages": () =>
      chat(model, "", `"messages":[${members(150_000, () => `{"role":"user","content":"a"}`)}]`),
    "messages with unknown keys": () =>
      chat(model, "", `"messages":[${members(100_000, (at) => `{"role":"user","content":"a","k${at}":{}}`)}]`),
    "200,000 parts of one message": () =>
      chat(
        model,
        "",
        `"messages":[{"role":"user","content":[${members(200_000, () => `{"type":"text","text":"a"}`)}]}]`,
      ),
    "one word of megabytes": text("a"),
    "spaces of megabytes": text(" "),
    "line ends of megabytes": text("\n"),
    "digits of megabytes": text("1"),
    "marks of megabytes": text("!?"),
    "Han of megabytes": text("語"),
    "emoji of megabytes": text("👍🏽"),
    "combining marks of megabytes": text("e\u0301\u0323"),
    "special tokens of megabytes": text("<|im_start|>"),
    "starts of special tokens": text("<|im_star"),
    "escapes of megabytes": () => chat(model, "", `"messages":[{"role":"user","content":"${filled("\\u0041")}"}]`),
  };
}

/** Schemas and tools. */
function schemas(model: string): Record<string, () => string> {
  const schema = (made: () => string) => () => chat(model, format(made()));
  const tool = (at: number) =>
    `{"type":"function","function":{"name":"f${at}","parameters":${object(`"a":{"type":"string"}`)}}}`;
  return {
    "a schema of 100,000 properties": schema(() => object(members(100_000, (at) => `"p${at}":{"type":"string"}`))),
    "a schema of great depth": schema(() => nested(`{"type":"array","items":`, `{"type":"null"}`, "}", 200_000)),
    "an enum of 300,000": schema(() => `{"enum":[${members(300_000, (at) => `"value ${at}"`)}]}`),
    "any of 50,000": schema(() => `{"anyOf":[${members(50_000, (at) => `{"const":${at}}`)}]}`),
    "a repetition of millions": schema(() => `{"type":"string","minLength":4000000,"maxLength":8000000}`),
    "a nested repetition": schema(() => nested(`{"type":"array","minItems":9,"items":`, `{"type":"null"}`, "}", 9)),
    "a hostile pattern": schema(() => `{"type":"string","pattern":"^${filled("(a+)+", 50_000)}$"}`),
    "references in a ring": schema(() => {
      const ring = members(20_000, (at) => `"d${at}":{"$ref":"#/$defs/d${(at + 1) % 20_000}"}`);
      return `{"$ref":"#/$defs/d0","$defs":{${ring}}}`;
    }),
    "40,000 tools": () => chat(model, `"tools":[${members(40_000, tool)}]`),
  };
}

/** The routes beside chat. */
function others(model: string): readonly WorstInput[] {
  const completion = (prompt: string) => `{"model":"${model}","max_tokens":1,"prompt":${prompt}}`;
  const embedding = (input: string) => `{"model":"${model}","input":${input}}`;
  const to = (path: string, name: string, body: () => string): WorstInput => ({ name, path, body });
  const get = (name: string, path: string, headers: Record<string, string>): WorstInput => {
    return { name, path, headers, body: () => "{}" };
  };
  return [
    to(COMPLETIONS, "200,000 prompts", () => completion(`[${members(200_000, () => `"a"`)}]`)),
    to(COMPLETIONS, "a prompt of a million ids", () => completion(`[${members(1_000_000, () => "300")}]`)),
    to(COMPLETIONS, "prompts of ids in lists", () => completion(`[${members(500_000, () => "[300]")}]`)),
    to(COMPLETIONS, "one prompt of megabytes", () => completion(JSON.stringify(filled("ab ", 7_000_000)))),
    to(EMBEDDINGS, "200,000 inputs", () => embedding(`[${members(200_000, () => `"a"`)}]`)),
    to(EMBEDDINGS, "inputs of ids in lists", () => embedding(`[${members(500_000, () => "[300]")}]`)),
    to(EMBEDDINGS, "one input of megabytes", () => embedding(JSON.stringify(filled("語", 7_000_000)))),
    to(`/v1/${filled("a/", 12_000)}`, "an unknown route of great length", () => "{}"),
    get("a header of 12 kB", CHAT, { "x-request-id": filled("a", 12_000) }),
    get("500 headers", CHAT, Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`x-${at}`, "a"]))),
    get("a traceparent of 12 kB", CHAT, { traceparent: filled("00-", 12_000) }),
  ];
}

/** The worst inputs of every route that reads a body, for a model of this name. Most are refused. */
export function worstInputs(model: string): WorstInput[] {
  const chats = { ...shapes(model), ...texts(model), ...schemas(model) };
  return [...Object.entries(chats).map(([name, body]) => ({ name, path: CHAT, body })), ...others(model)];
}
