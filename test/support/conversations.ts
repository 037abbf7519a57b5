import { setTimeout as sleep } from "node:timers/promises";
import type { OpenAI } from "openai";
import { pick, SeededChance } from "#lib/base/chance";
import { assert } from "#lib/base/errors";

/** What conversations are held with. */
export interface ConversationsOptions {
  /** Of the OpenAI API, such as 127.0.0.1:8000. */
  readonly address: string;
  /** Served name. */
  readonly model: string;
  /** How many there are. */
  readonly conversations: number;
  /** Turns of each. */
  readonly turns: number;
  /** How many are under way at a time; the others wait for one to end. */
  readonly atOnce: number;
  /** Decides the order in which they begin, and their words. */
  readonly seed: bigint;
  /** How long somebody thinks before each turn, at most, in ms; the draws are uniform. Not at all where absent. */
  readonly thinkMs?: number;
  /** Called before each turn, with how many were answered. */
  readonly onTurn?: (answered: number) => void;
}

/** What was seen of them. */
export interface ConversationsReport {
  /** Tokens of all prompts. */
  promptTokens: number;
  /** Those of them that were found in a cache. */
  cachedTokens: number;
  /** Requests that each worker answered, by its id. */
  readonly requests: Map<string, number>;
}

const WORDS = "the duck swims over a quiet pond while two old frogs sing about rain and green leaves fall".split(" ");
const ANSWER_TOKENS = 12;

/** Holds conversations in which each turn brings all that was said before. Throws when one is not answered. */
export async function holdConversations(options: ConversationsOptions): Promise<ConversationsReport> {
  const { conversations, turns, atOnce, seed } = options;
  const chance = new SeededChance(seed);
  const report: ConversationsReport = { promptTokens: 0, cachedTokens: 0, requests: new Map() };
  const waiting = Array.from({ length: conversations }, (_, at) => at);
  const scripts = waiting.map((at) => Array.from({ length: turns }, (_, turn) => said(chance, at, turn)));
  const pauses = pausesOf(options);
  let answered = 0;
  const next = (): number | undefined => waiting.splice(pick(chance, Math.max(1, waiting.length)), 1)[0];
  const runner = async (): Promise<void> => {
    for (let at = next(); at !== undefined; at = next()) {
      const messages: { role: string; content: string }[] = [];
      for (const [turnAt, content] of scripts[at]!.entries()) {
        if (options.thinkMs !== undefined) await sleep(pauses[at]![turnAt]!);
        options.onTurn?.(answered);
        messages.push({ role: "user", content });
        messages.push({ role: "assistant", content: await turn(options, messages, report) });
        answered++;
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, runner));
  assert(answered === conversations * turns, "every turn is answered");
  return report;
}

/** How long is thought before each turn of each conversation, in ms. Of draws of its own: the words are the same without. */
function pausesOf({ conversations, turns, seed, thinkMs = 0 }: ConversationsOptions): number[][] {
  const chance = new SeededChance(seed);
  const each = () => Array.from({ length: turns }, () => chance.next() * thinkMs);
  return Array.from({ length: conversations }, each);
}

/** About a hundred tokens that no other conversation has. */
function said(chance: SeededChance, conversation: number, turn: number): string {
  const words = Array.from({ length: 70 }, () => WORDS[pick(chance, WORDS.length)]);
  return `${conversation}.${turn}: ${words.join(" ")}`;
}

async function turn(
  { address, model }: ConversationsOptions,
  messages: readonly object[],
  report: ConversationsReport,
): Promise<string> {
  const response = await fetch(`http://${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, messages, max_tokens: ANSWER_TOKENS, temperature: 0 }),
  });
  assert(response.ok, `a turn is answered, not with ${response.status}`);
  const body = (await response.json()) as OpenAI.ChatCompletion;
  report.promptTokens += body.usage?.prompt_tokens ?? 0;
  report.cachedTokens += body.usage?.prompt_tokens_details?.cached_tokens ?? 0;
  const worker = response.headers.get("x-stator-worker") ?? "";
  report.requests.set(worker, (report.requests.get(worker) ?? 0) + 1);
  return body.choices[0]?.message.content ?? "";
}
