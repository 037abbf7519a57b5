import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../../../test/support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../../../test/support/rehearsal/open.ts";

let rehearsal: Rehearsal;
let dispatcher: RehearsalDispatcher;
beforeAll(async () => {
  dispatcher = new RehearsalDispatcher({ running: true, reply: () => ({ tokens: encodeBytes("hi") }) });
  rehearsal = await openRehearsal(dispatcher, {});
});
afterAll(() => rehearsal.frontend.close({ drainMs: 0 }));

const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${rehearsal.url}${path}`, {
    method: "POST",
    body: body instanceof Uint8Array ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });

it("x", async () => {
  const r = await post("/v2/models/rehearsal/infer", { id: "r1", inputs: [{ name: "text_input", shape: [1], datatype: "BYTES", data: ["hello"] }] });
  console.info(r.status, await r.text());
  const g = await post("/v2/models/rehearsal/generate", { text_input: "hello", max_tokens: 8 });
  console.info(g.status, await g.text());
  const s = await post("/v2/models/rehearsal/versions/1/generate_stream", { id: "a", text_input: "hello", parameters: { max_tokens: 8 } });
  console.info(s.status, s.headers.get("content-type"), await s.text());
  const n = await post("/v2/models/none/infer", {});
  console.info(n.status, await n.text());
  const h = await post("/openai/v1/chat/completions", { model: "none", messages: [{ role: "user", content: "a" }] });
  console.info(h.status, await h.text());
});
