// CPU time per token of the worker link against a grpc-js stream per request, and the time that a cancel takes.
// Both sides of both planes are measured, in one run, in alternating rounds.
//   node test/bench/cases/link.ts [NAME_PART]
import { create } from "@bufbuild/protobuf";
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import {
  CancelMode,
  InputPartSchema,
  RequestKind,
  StoppingSchema,
  SubmitSchema,
  WorkerLinkService,
} from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { systemClock } from "#lib/host/system-clock";
import { openCallerLink } from "#lib/link/caller-link";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { CLIENT_OPTIONS } from "#lib/rpc/settings";
import { cpuUs, median, Program, runCases, sleep, startsOf, volume } from "../harness.ts";
import { type CancelMoments, type Delta, type ServerStat, STREAM_METHOD } from "./link-load.ts";

/** A client of one plane: starts requests whose tokens go into an array of their own. */
interface Plane {
  /** `done` comes at the end of the answer. Returns what cancels it. */
  start(request: { readonly id: string; readonly maxTokens: number; onToken(): void; done(): void }): () => void;
  close(): void;
}

const PROMPT = writeU32([1, 2, 3, 4]);
/** What all requests have in common. */
const SUBMIT = create(SubmitSchema, { kind: RequestKind.GENERATE, model: "m", promptTokenIds: PROMPT });
const STOPPING = create(StoppingSchema);
const PART = create(InputPartSchema, { promptTokenIds: PROMPT });
/** Tokens of an answer that a client keeps. More memory than that, taken at a start, would be most of what the start costs. */
const KEPT_TOKENS = 1_024;

async function openLink(port: number): Promise<Plane> {
  const channel = new Channel(`127.0.0.1:${port}`, loopbackCredentials, systemClock);
  const ready = Promise.withResolvers<void>();
  const link = openCallerLink(channel.open(WorkerLinkService.method.link), {
    caller: "bench",
    clock: systemClock,
    listener: { onState: (state) => state === "ready" && ready.resolve(), onWelcome() {}, onStep() {}, onNotice() {} },
  });
  await ready.promise;
  return {
    start({ id, maxTokens, onToken, done }) {
      const kept = new Uint32Array(Math.min(maxTokens, KEPT_TOKENS));
      let count = 0;
      const handle = link.submit(
        { ...SUBMIT, requestId: id, stopping: { ...STOPPING, maxTokens } },
        {
          onAccepted() {},
          onTokens(tokens, start, end) {
            for (let at = start; at < end; at++) kept[count++] = tokens[at] as number;
            onToken();
          },
          onText() {},
          onEmbedding() {},
          onFinish: done,
          onLost: done,
        },
      );
      return () => link.cancel(handle, CancelMode.KILL);
    },
    close() {
      link.close();
      channel.close();
    },
  };
}

async function openStreams(port: number): Promise<Plane> {
  const Client = makeGenericClientConstructor({ generate: STREAM_METHOD }, "Stream");
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { ...CLIENT_OPTIONS });
  return {
    start({ id, maxTokens, onToken, done }) {
      const kept = new Uint32Array(Math.min(maxTokens, KEPT_TOKENS));
      let count = 0;
      const request = { ...PART, handle: maxTokens, promptText: id };
      const call = client.makeServerStreamRequest(
        STREAM_METHOD.path,
        STREAM_METHOD.requestSerialize,
        STREAM_METHOD.responseDeserialize,
        request,
      );
      call.on("data", ({ promptTokenIds: bytes }: Delta) => {
        kept[count++] = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
        onToken();
      });
      call.on("end", done);
      call.on("error", () => {});
      return () => call.cancel();
    },
    close: () => client.close(),
  };
}

const PLANES = { link: openLink, stream: openStreams };

/** One server and one client. */
async function withPlane<Figure>(
  kind: keyof typeof PLANES,
  stepMs: number,
  run: (plane: Plane, server: Program) => Promise<Figure>,
): Promise<Figure> {
  const server = new Program("link-server.ts", kind, stepMs);
  const { port } = await server.heard<{ port: number }>();
  const plane = await PLANES[kind](port);
  try {
    return await run(plane, server);
  } finally {
    plane.close();
    server.end();
  }
}

/** CPU microseconds of both sides per token, with so many streams that start anew as they end. */
function perToken(load: { streams: number; maxTokens: number; stepMs: number; ms: number }, kind: keyof typeof PLANES) {
  return withPlane(kind, load.stepMs, async (plane, server) => {
    let tokens = 0;
    let over = false;
    const next = (stream: number): void => {
      if (over) return;
      const onToken = () => void tokens++;
      plane.start({ id: `s${stream}`, maxTokens: load.maxTokens, onToken, done: () => next(stream) });
    };
    for (let stream = 0; stream < load.streams; stream++) next(stream);
    await sleep(load.ms / 2);
    const before = { own: cpuUs(), tokens, stat: await server.ask<ServerStat>({}) };
    await sleep(load.ms);
    const stat = await server.ask<ServerStat>({});
    const figure = {
      clientUs: (cpuUs() - before.own) / (tokens - before.tokens),
      serverUs: (stat.cpuUs - before.stat.cpuUs) / (stat.tokens - before.stat.tokens),
      perSecond: ((tokens - before.tokens) / load.ms) * 1_000,
    };
    over = true;
    return { ...figure, totalUs: figure.clientUs + figure.serverUs };
  });
}

/**
 * A client that cancels each answer a millisecond after its first token and asks for the next at once, as the harness did
 * that measured the planes of the field: the moments of so many cancels, by request id.
 */
async function cancelEach(plane: Plane, round: number, count: number): Promise<Map<string, bigint>> {
  const called = new Map<string, bigint>();
  for (let at = 0; at < count; at++) {
    const first = Promise.withResolvers<void>();
    const id = `${round}/${at}`;
    const cancel = plane.start({ id, maxTokens: 100_000, onToken: () => first.resolve(), done() {} });
    await first.promise;
    await sleep(1);
    called.set(id, process.hrtime.bigint());
    cancel();
  }
  return called;
}

/**
 * Rounds of each start of the servers, whose code the compiler makes anew. A round has a session of its own, and fewer
 * cancels than the resets at which a server closes one.
 */
const CANCELS = {
  starts: startsOf(5),
  rounds: volume(6, 2),
  warmRounds: volume(2, 1),
  perRound: volume(300, 20),
} as const;

const KINDS = ["link", "stream"] as const;

/**
 * Microseconds from the caller's cancel to the moment at which the other process's engine (for a stream: its handler's
 * "cancelled") knows: medians of a round each. Beside it so many streams run on at one token per 20 ms. The planes take
 * turns, so that both see the same machine.
 */
async function compareCancels(beside: number): Promise<object> {
  const rounds: number[][] = [];
  for (let start = 0; start < CANCELS.starts; start++) rounds.push(...(await cancelRounds(beside)));
  const ratio = median(rounds.map(([link, stream]) => link! / stream!));
  const [linkUs, streamUs] = KINDS.map((_, at) => median(rounds.map((took) => took[at]!)));
  return { ratio, linkUs, streamUs };
}

async function cancelRounds(beside: number): Promise<number[][]> {
  const servers = KINDS.map((kind) => new Program("link-server.ts", kind, 20));
  const ports: number[] = [];
  for (const server of servers) ports.push((await server.heard<{ port: number }>()).port);
  const rounds: number[][] = [];
  for (let round = 0; round < CANCELS.rounds; round++) {
    const tookUs: number[] = [];
    for (const [at, kind] of KINDS.entries()) {
      const plane = await PLANES[kind](ports[at]!);
      const others = Array.from({ length: beside }, () =>
        plane.start({ id: "", maxTokens: 100_000, onToken() {}, done() {} }),
      );
      const called = await cancelEach(plane, round, CANCELS.perRound);
      await sleep(100);
      const heard = await servers[at]!.ask<CancelMoments>({ cancels: true });
      for (const cancel of others) cancel();
      await sleep(50);
      plane.close();
      // One monotonic clock for both processes. A cancel that did not come counts as one that takes for ever.
      const took = ([id, atNs]: [string, bigint]) => (heard[id] ? Number(BigInt(heard[id]) - atNs) : Infinity);
      tookUs.push(median([...called].map(took)) / 1_000);
    }
    if (round >= CANCELS.warmRounds) rounds.push(tookUs);
  }
  for (const server of servers) server.end();
  return rounds;
}

/** Each round starts both servers anew. */
async function compare(load: Parameters<typeof perToken>[0]) {
  const rounds = [];
  for (let round = 0; round < volume(3, 1); round++) {
    rounds.push({ link: await perToken(load, "link"), stream: await perToken(load, "stream") });
  }
  const ratio = median(rounds.map(({ link, stream }) => link.totalUs / stream.totalUs));
  const middle = rounds.find(({ link, stream }) => link.totalUs / stream.totalUs === ratio);
  return { ratio, ...middle };
}

await runCases({
  "link/saturated/64-streams": () => compare({ streams: 64, maxTokens: 512, stepMs: 0, ms: volume(2_000, 300) }),
  "link/paced/512-streams": () => compare({ streams: 512, maxTokens: 64, stepMs: 20, ms: volume(3_000, 600) }),
  "link/cancel/alone": () => compareCancels(0),
  "link/cancel/512-streams": () => compareCancels(512),
});
