// The way of a chat request with 8k new tokens from the bytes of its body to token ids and hashes of their blocks, against
// the sum of its bare parts: JSON.parse of the body, the encoder alone on the text, one XXH3 over the ids. As ratios of CPU
// time in one run.
//   node test/bench/cases/path.ts [NAME_PART]
import { silentLog } from "#lib/host/log";
import { systemClock } from "#lib/host/system-clock";
import { reader as chat } from "#services/frontend/doors/chat/read";
import { BodyReader } from "#services/frontend/read/reader";
import { cpuUs, median, runCases, timed, volume } from "../harness.ts";
import { BlockHashes, MARKS_TEMPLATE, openFrontendEncoder, openModelText, realModel } from "../models.ts";
import { NaturalWriter } from "../natural-text.ts";

/** Of text, about 8k tokens. */
const UNITS = volume(34_500, 3000);
const MESSAGES = 5;
const ROUNDS = volume(100, 3);

function body(writer: NaturalWriter): Buffer {
  const messages = Array.from({ length: MESSAGES }, (_, at) => ({
    role: at % 2 === 0 ? "user" : "assistant",
    content: writer.units(UNITS / MESSAGES),
  }));
  return Buffer.from(JSON.stringify({ model: "m", messages, max_tokens: 100, temperature: 0.7, stream: true }));
}

async function run(): Promise<object> {
  const model = realModel("152k");
  if (typeof model === "string") return { skipped: model };
  const reader = new BodyReader({ readers: [chat], clock: systemClock, log: silentLog });
  const text = await openModelText(model, MARKS_TEMPLATE);
  const hashes = new BlockHashes(model);
  const bare = await openFrontendEncoder(model);
  const writer = new NaturalWriter("prose", Date.now());
  const rounds: { wholeUs: number; jsonUs: number; encodeUs: number; hashUs: number; tokens: number }[] = [];

  const whole = async (bytes: Buffer): Promise<Uint32Array> => {
    const { conversation, close } = await reader.read(chat, [bytes]);
    const ids = await text.encodePrompt(await conversation!.render(text));
    hashes.of(ids);
    close();
    return ids;
  };
  const parts = async (bytes: Buffer) => {
    const [jsonUs, { messages }] = await timed(cpuUs, () => JSON.parse(bytes.toString()));
    const prompt = text.renderChat({ messages });
    const [encodeUs, ids] = await timed(cpuUs, () => bare.encode(prompt.text, { chat: true, content: prompt.content }));
    const idBytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
    const [hashUs] = await timed(cpuUs, () => model.addon.xxh3(idBytes, 1337n));
    return { jsonUs, encodeUs, hashUs, ids };
  };
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = body(writer);
    const [wholeFirst, partsFirst] =
      round % 2 === 0 ? [await timed(cpuUs, () => whole(bytes)), undefined] : [undefined, await parts(bytes)];
    const { ids, ...times } = partsFirst ?? (await parts(bytes));
    const [wholeUs, own] = wholeFirst ?? (await timed(cpuUs, () => whole(bytes)));
    if (ids.join() !== own.join()) throw new Error("the two ways end with other tokens");
    rounds.push({ wholeUs, ...times, tokens: ids.length });
  }
  await Promise.all([reader.close(), text.close(), bare.close()]);
  const of = (figure: keyof (typeof rounds)[0]) => median(rounds.map((each) => each[figure]));
  const [wholeUs, jsonUs, encodeUs, hashUs] = [of("wholeUs"), of("jsonUs"), of("encodeUs"), of("hashUs")];
  return { ratio: wholeUs / (jsonUs + encodeUs + hashUs), wholeUs, jsonUs, encodeUs, hashUs, tokens: of("tokens") };
}

await runCases({ "path/8k": run });
