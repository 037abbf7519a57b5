import { create, fromBinary, fromJson } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { ErrorDetailSchema } from "#gen/stator/common/v1/common_pb";
import {
  CancelMode,
  type LinkRequest,
  LinkRequestSchema,
  type LinkResponse,
  LinkResponseSchema,
  NoticeSchema,
  RequestKind,
  StepSchema,
  type Submit,
  SubmitSchema,
} from "#gen/stator/worker/v1/link_pb";
import { parseHex, readF32, readU32, writeU32 } from "#lib/base/bytes";
import type { FakeClock } from "#lib/base/clock";
import { type Reason, StatorError } from "#lib/base/errors";
import { openCallerLink } from "#lib/link/caller-link";
import type {
  CallerChannel,
  CallerLink,
  LinkChannel,
  LinkFinish,
  RequestListener,
  WorkerChannel,
  WorkerLink,
} from "#lib/link/link";
import { openWorkerLink } from "#lib/link/worker-link";
import { StillClock } from "../../support/still-clock.ts";
import { hexOf, type Line, parseMessage, senderOf, spell, type Transcript, type WrittenMessage } from "./transcript.ts";

/** Both ends of one link. */
export interface Wire {
  readonly caller: CallerChannel;
  /** Comes once the wire stands. */
  readonly worker: Promise<WorkerChannel>;
}

const WAIT_MS = 5_000;

/** Plays a transcript over a wire: one end is the link under test, the other says what is written. Throws at the first line that differs. */
export async function playTranscript(transcript: Transcript, wire: Wire): Promise<void> {
  const clock = new StillClock();
  const heard = new Lane<string>();
  // A caller's link says Hello by itself, which opens the wire; a scripted one waits until it stands.
  const { peer, side } = await sides(transcript, { wire, clock, heard });
  for (const [at, line] of transcript.lines.entries()) {
    try {
      await playLine(line, { transcript, peer, side, heard, clock });
    } catch (error) {
      throw new Error(`line ${at + 1}: ${line.note ?? JSON.stringify(line)}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(heard.waiting).toEqual([]);
  expect(peer.messages.waiting.map(hexOf)).toEqual([]);
  side.close();
  peer.channel.end(new StatorError("CANCELLED"));
}

async function sides(
  { side }: Transcript,
  about: { readonly wire: Wire; readonly clock: FakeClock; readonly heard: Lane<string> },
): Promise<{ peer: Peer; side: CallerSide | WorkerSide }> {
  const { wire, clock, heard } = about;
  if (side === "caller") {
    const caller = new CallerSide(wire.caller, clock, heard);
    return { peer: new Peer(await wire.worker), side: caller };
  }
  const peer = new Peer(wire.caller);
  return { peer, side: new WorkerSide(await wire.worker, clock, heard) };
}

interface Play {
  readonly transcript: Transcript;
  readonly peer: Peer;
  readonly side: CallerSide | WorkerSide;
  readonly heard: Lane<string>;
  readonly clock: FakeClock;
}

async function playLine(line: Line, { transcript, peer, side, heard, clock }: Play): Promise<void> {
  if (line.say) peer.channel.send(checked(line.say, senderOf(transcript, line)) as never);
  if (line.expect) {
    const wanted = checked(line.expect, senderOf(transcript, line));
    expect(hexOf(byReason(await peer.messages.next()))).toBe(hexOf(byReason(wanted)));
  }
  if (line.do) side.do(line.do);
  if (line.hear !== undefined) expect(like(line.hear, await heard.next())).toBe(line.hear);
  if (line.end !== undefined) {
    peer.channel.end(line.end === "in order" ? undefined : new StatorError(line.end as Reason, { detail: "test" }));
  }
  if (line.ended !== undefined) expect(like(line.ended, await peer.ends.next())).toBe(line.ended);
  if (line.advanceMs !== undefined) clock.advance(line.advanceMs);
  if (line.counters) expect(side.counters).toMatchObject(line.counters);
}

/** What came, with its error written as "@" where the transcript does not care which. */
function like(wanted: string, found: string): string {
  const at = wanted.indexOf("@");
  return at >= 0 && /^[A-Z_]+$/.test(found.slice(at)) ? `${found.slice(0, at)}@` : found;
}

/** The message that is said: decoded from the bytes, which must be those of what people read. */
function checked(written: WrittenMessage, sender: "caller" | "worker"): LinkRequest | LinkResponse {
  expect(written.hex, "the bytes are those of the message; UPDATE_TRANSCRIPTS=1 writes them").toBe(
    hexOf(parseMessage(written, sender)),
  );
  const bytes = parseHex(written.hex);
  return sender === "caller" ? fromBinary(LinkRequestSchema, bytes) : fromBinary(LinkResponseSchema, bytes);
}

/** The same message with every error reduced to its reason: sentences may change. */
function byReason(message: LinkRequest | LinkResponse): LinkRequest | LinkResponse {
  if (message.$typeName !== LinkResponseSchema.typeName) return message;
  const copy = structuredClone(message) as LinkResponse;
  for (const finish of copy.step?.finishes ?? []) {
    if (finish.error) finish.error = create(ErrorDetailSchema, { reason: finish.error.reason });
  }
  return copy;
}

/** Things in order, and whoever waits for the next. */
class Lane<Item> {
  readonly waiting: Item[] = [];
  #wake: (() => void) | undefined;

  push(item: Item): void {
    this.waiting.push(item);
    this.#wake?.();
  }

  async next(): Promise<Item> {
    const untilMs = performance.now() + WAIT_MS;
    while (this.waiting.length === 0) {
      if (performance.now() > untilMs) throw new Error("nothing came");
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, WAIT_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.waiting.shift() as Item;
  }
}

class Peer {
  readonly channel: LinkChannel<never, never>;
  readonly messages = new Lane<LinkRequest | LinkResponse>();
  readonly ends = new Lane<string>();

  constructor(channel: CallerChannel | WorkerChannel) {
    this.channel = channel as unknown as LinkChannel<never, never>;
    this.channel.receive({
      onMessage: (message: LinkRequest | LinkResponse) => this.messages.push(message),
      onEnd: (error) => this.ends.push(error?.reason ?? "in order"),
    });
  }
}

class CallerSide {
  readonly #link: CallerLink;
  readonly #heard: Lane<string>;

  constructor(channel: CallerChannel, clock: FakeClock, heard: Lane<string>) {
    this.#heard = heard;
    this.#link = openCallerLink(channel, {
      caller: "test/1",
      clock,
      incarnation: 7n,
      features: ["one", "two"],
      // The test says when it is time for a Ping.
      limits: { tickEveryMs: 1_000_000 },
      listener: {
        onState: (state, reason) => heard.push(reason ? `state ${state} ${reason.reason}` : `state ${state}`),
        onWelcome: (welcome) => heard.push(`welcome ${welcome.instanceId} ${welcome.models.join(",")}`),
        onStep: (step) => heard.push(`step ${step.step}`),
        onNotice: (notice) => heard.push(`notice draining=${notice.draining}`),
      },
    });
  }

  get counters() {
    return this.#link.counters;
  }

  do(wish: NonNullable<Line["do"]>): void {
    if ("submit" in wish) this.#submit(wish.submit as Parameters<CallerSide["submitOf"]>[0]);
    if ("cancel" in wish) this.#link.cancel(Number(wish.cancel), CancelMode.STOP);
    if ("kill" in wish) this.#link.cancel(Number(wish.kill), CancelMode.KILL);
    if ("abandon" in wish) this.#link.abandon(Number(wish.abandon));
    if ("ping" in wish) {
      void this.#link.ping().then(
        () => this.#heard.push("pong"),
        (error: StatorError) => this.#heard.push(`no pong ${error.reason}`),
      );
    }
    if ("close" in wish) this.#link.close();
  }

  submitOf(prompt: Asked) {
    return create(SubmitSchema, {
      requestId: "r",
      kind: RequestKind.GENERATE,
      model: "m",
      promptTokenIds: writeU32(prompt.tokens),
      generatedTokenIds: writeU32(Array.from({ length: prompt.generated ?? 0 }, (_, at) => at)),
      guidance: prompt.grammar === undefined ? undefined : { grammar: prompt.grammar },
      stopping: { maxTokens: prompt.maxTokens },
    });
  }

  #submit(prompt: Asked): void {
    let handle = 0;
    try {
      handle = this.#link.submit(
        this.submitOf(prompt),
        listenerOf((what) => this.#heard.push(`${handle} ${what}`)),
      );
    } catch (error) {
      this.#heard.push(`refused ${(error as StatorError).reason}`);
    }
  }

  close(): void {
    this.#link.close();
  }
}

/** A request as a transcript writes it. */
type Asked = {
  readonly tokens: number[];
  readonly maxTokens: number;
  /** Tokens of an earlier attempt: 0, 1 and so on. */
  readonly generated?: number;
  readonly grammar?: string;
};

function listenerOf(hear: (what: string) => void): RequestListener {
  return {
    onAccepted: (cached, ahead) => hear(`accepted cached=${cached} ahead=${ahead}`),
    onTokens(tokens, start, end, logprobs) {
      const beside = logprobs ? ` logprobs ${logprobs.chosen.join(" ")} top ${logprobs.topTokens.join(" ")}` : "";
      hear(`tokens ${tokens.subarray(start, end).join(" ")}${beside}`);
    },
    onPromptLogprobs: (position, { chosen, topTokens }) =>
      hear(`prompt from ${position} logprobs ${chosen.join(" ")} top ${topTokens.join(" ")}`),
    onText: (text) => hear(`text ${text}`),
    onEmbedding: (values) =>
      hear(`embedding ${readF32(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)).join(" ")}`),
    onFinish: (finish: LinkFinish) =>
      hear(`finish ${finish.error?.reason ?? finish.reason} ${finish.completionTokens}`),
    onLost: (error, accepted) => hear(`lost ${error.reason} ${accepted ? "accepted" : "not accepted"}`),
  };
}

function describeSubmit({ handle, promptTokenIds, promptText, generatedTokenIds, guidance }: Submit): string {
  const generated = generatedTokenIds.length > 0 ? ` behind ${[...readU32(generatedTokenIds)].join(" ")}` : "";
  const form = guidance ? ` in form ${guidance.form} ${guidance.grammar}${Buffer.from(guidance.text).toString()}` : "";
  return `submit ${handle} ${[...readU32(promptTokenIds)].join(" ")}${promptText}${generated}${form}`;
}

class WorkerSide {
  readonly #link: WorkerLink;
  #refusal: Reason | undefined;

  constructor(channel: WorkerChannel, clock: FakeClock, heard: Lane<string>) {
    this.#link = openWorkerLink(channel, {
      clock,
      introduce: () => ({
        ...{ instanceId: 5n, incarnation: 7n, models: ["m"], maxRunningRequests: 2, maxWaitingRequests: 3 },
        ...{ totalKvBlocks: 64n, ranks: 1, features: ["two", "three"], draining: false },
      }),
      sink: {
        onSubmit: (submit) => {
          heard.push(describeSubmit(submit));
          const refusal = this.#refusal;
          this.#refusal = undefined;
          if (refusal) throw new StatorError(refusal, { what: "test" });
          return { cachedTokens: 2, queuedAhead: 1 };
        },
        onCancel: (handles, mode) =>
          heard.push(`cancel ${[...handles].join(" ")} ${mode === CancelMode.KILL ? "kill" : "stop"}`),
        onEnd: (error) => heard.push(error ? `end ${error.reason}` : "end in order"),
      },
    });
  }

  get counters() {
    return this.#link.counters;
  }

  do(wish: NonNullable<Line["do"]>): void {
    if ("step" in wish) this.#link.step(fromJson(StepSchema, spell(wish.step ?? null)));
    if ("notice" in wish) this.#link.notice(fromJson(NoticeSchema, wish.notice ?? null));
    if ("refuse" in wish) this.#refusal = wish.refuse as Reason;
    if ("close" in wish) this.#link.close();
  }

  close(): void {
    this.#link.close();
  }
}
