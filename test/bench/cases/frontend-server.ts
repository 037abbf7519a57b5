// The frontend under load, without a worker: a dispatcher in the same process tells tokens from a fixture.
//   node frontend-server.ts STEP_MS TOKENS TOKENS_PER_STEP JOIN(auto | N)
import { readFileSync } from "node:fs";
import path from "node:path";
import { Roster, type Rostered } from "#lib/base/collections";
import type { Dispatcher, ServingHandle, ServingRequest, ServingSink } from "#lib/serving/request";
import { createPieceTexts, Detokenizer } from "#lib/text/detokenizer";
import { parseGgufHeader } from "#lib/text/gguf";
import { pieceTable } from "#lib/text/pieces";
import { tokenBits } from "#lib/text/special";
import { readVocabulary } from "#lib/text/vocabulary";
import { openRehearsal } from "#services/frontend/rehearsal/open";
import type { ModelText } from "#services/frontend/text/model-text";

const [stepMs = 0, count = 100, perStep = 1] = process.argv.slice(2, 5).map(Number);
const join = process.argv[5];
let tokens = 0;

/** Text of the demo model's vocabulary; prompts are cut into fixed pieces, so that tokenizing costs nothing here. */
function demoText(): () => ModelText {
  const file = path.join(import.meta.dirname, "../../../models/stator-demo-q8_0.gguf");
  const vocabulary = readVocabulary(parseGgufHeader(readFileSync(file), "the demo model"));
  const texts = createPieceTexts(pieceTable(vocabulary, tokenBits(vocabulary)));
  return () => ({
    vocabularySize: texts.pieces.attributes.length,
    renderChat: (messages) => messages.map(({ role, content }) => `<|${role}|>${content}`).join(""),
    encodePrompt: (prompt) => new Uint32Array(Math.ceil(prompt.length / 4)).fill(300),
    encodeText: (text) => new Uint32Array(Math.ceil(text.length / 4)).fill(300),
    createDecoder: () => new Detokenizer(texts),
    piece: (token) => texts.bytesOf(token),
    close() {},
  });
}

interface Open extends Rostered {
  readonly sink: ServingSink;
  readonly request: ServingRequest;
  told: number;
}

/** Tells each open request its next tokens, a step at a time. */
class FixtureDispatcher implements Dispatcher {
  readonly #open = new Roster<Open>();
  readonly #fixture = Uint32Array.from({ length: count }, (_, at) => 300 + ((at * 37) % 400));

  start(request: ServingRequest, sink: ServingSink): ServingHandle {
    const open = { sink, request, told: 0, rosterAt: -1 };
    this.#open.add(open);
    wake();
    sink.onPlaced({ worker: 1n, attempt: 1, cachedTokens: 0, decision: "fixture" });
    return { cancel: () => void this.#open.delete(open), finishChoice: () => this.#end(open) };
  }

  get open(): number {
    return this.#open.size;
  }

  step(): void {
    for (const open of this.#open.snapshot()) {
      const to = Math.min(count, open.told + perStep);
      open.sink.onTokens(0, this.#fixture.subarray(open.told, to), undefined);
      tokens += to - open.told;
      open.told = to;
      if (to === count) this.#end(open);
    }
  }

  #end(open: Open): void {
    if (!this.#open.delete(open)) return;
    const promptTokens = open.request.prompts[0]!.length;
    open.sink.onEnd(0, {
      reason: "length",
      stopToken: undefined,
      promptTokens,
      cachedTokens: 0,
      completionTokens: open.told,
    });
  }
}

const dispatcher = new FixtureDispatcher();
let awake = false;
/** Unthrottled, a step follows the other for as long as requests are open. */
function wake(): void {
  if (stepMs > 0 || awake) return;
  awake = true;
  setImmediate(turn);
}
function turn(): void {
  dispatcher.step();
  awake = dispatcher.open > 0;
  if (awake) setImmediate(turn);
}
if (stepMs > 0) setInterval(() => dispatcher.step(), stepMs);
const limits =
  join === "auto" || join === undefined ? {} : { alwaysJoin: true, joinTokens: Number(join), joinMs: 10_000 };
const { frontend } = await openRehearsal(dispatcher, { text: demoText(), limits });
process.send?.({ port: frontend.port });
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuUs: user + system, tokens, rssBytes: process.memoryUsage().rss });
});
process.on("disconnect", () => process.exit());
