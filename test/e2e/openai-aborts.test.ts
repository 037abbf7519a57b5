import { connect } from "node:net";
import { afterEach, expect, it } from "vitest";
import { encodeBytes } from "../support/rehearsal/byte-text.ts";
import { RehearsalDispatcher } from "../support/rehearsal/dispatcher.ts";
import { openRehearsal, type Rehearsal } from "../support/rehearsal/open.ts";

const ABORTS = Math.min(20_000, 2000 * Number(process.env.TEST_SCALE ?? 1));
const SIDE_BY_SIDE = 64;

let rehearsal: Rehearsal | undefined;
afterEach(() => rehearsal?.frontend.close({ drainMs: 0 }));

const BODY = JSON.stringify({ model: "rehearsal", messages: [{ role: "user", content: "hi" }], stream: true });
const HEAD = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n`;

/** Opens a stream and leaves: before its answer, at its first byte, or in the middle of the request. */
function abortOne(port: number, kind: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(kind === 2 ? HEAD + BODY.slice(0, 10) : HEAD + BODY);
      if (kind !== 1) setTimeout(() => socket.resetAndDestroy(), 1);
    });
    if (kind === 1) socket.once("data", () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
}

it(`an innocent stream survives ${ABORTS} streams that are aborted, and nothing stays open`, async () => {
  const text = "0123456789".repeat(400);
  const dispatcher = new RehearsalDispatcher({ reply: () => ({ tokens: encodeBytes(text) }) });
  rehearsal = await openRehearsal(dispatcher);
  const { port } = rehearsal.frontend;
  const innocent = fetch(`${rehearsal.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: BODY,
  });
  while (dispatcher.open === 0) await new Promise(setImmediate);
  // The innocent stream goes on during all of it, and ends only after the last abort.
  let steps = 0;
  const ticking = setInterval(() => {
    if (steps++ < text.length - 10) dispatcher.step();
  }, 5);
  const told = innocent.then((response) => response.text());
  let started = 0;
  const runner = async (): Promise<void> => {
    while (started < ABORTS) await abortOne(port, started++ % 3);
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, runner));
  clearInterval(ticking);
  while (dispatcher.open > 1) await new Promise((resolve) => setTimeout(resolve, 5));
  while (dispatcher.open > 0) dispatcher.step();
  const events = (await told).split("\n\n").filter((event) => event.startsWith("data: {"));
  const parts = events.map(
    (event) =>
      (JSON.parse(event.slice(6)) as { choices: [{ delta: { content?: string } }] }).choices[0].delta.content ?? "",
  );
  expect(parts.join("")).toBe(text);
  const metrics = async (): Promise<string> => rehearsal!.metrics.print();
  while (!/stator_frontend_active_requests 0\n/.test(await metrics()))
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await metrics()).toMatch(/stator_frontend_open_streams\{route="chat"\} 0\n/);
  expect(await metrics()).toMatch(/stator_frontend_body_bytes 0\n/);
});
