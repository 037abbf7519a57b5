import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type KvSession,
  RequestKind,
  type Step,
  type SubmitSchema,
  SubmitSchema as submitSchema,
  type TransferReport,
  WorkerLinkService,
} from "#gen/stator/worker/v1/link_pb";
import { writeU32 } from "#lib/base/bytes";
import { asStatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { openCallerLink } from "#lib/link/caller-link";
import { HAND_OFF_FEATURES } from "#lib/link/features";
import type { CallerLink, RequestListener } from "#lib/link/link";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";

/** What came of one leg. */
export interface LegSeen {
  readonly tokens: readonly number[];
  /** Of each token, and its most likely ones. */
  readonly logprobs: readonly number[];
  readonly tops: readonly (readonly number[])[];
  /** Reason of its error, or of its finish. */
  readonly end: string;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly session: KvSession | undefined;
  readonly transfer: TransferReport | undefined;
}

/** A leg that runs. */
export interface LegRunning {
  readonly handle: number;
  readonly done: Promise<LegSeen>;
  /** Resolves with its first tokens. */
  readonly begun: Promise<void>;
}

type Init = MessageInitShape<typeof SubmitSchema>;

/** A caller of one worker that knows legs and no rule: it asks for what a test says. */
export class LegCaller {
  readonly link: CallerLink;
  readonly ready: Promise<void>;
  /** The last step that was told. */
  step: Step | undefined;
  readonly #channel: Channel;

  constructor(address: string) {
    this.#channel = new Channel(address, loopbackCredentials, systemClock);
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.link = openCallerLink(this.#channel.open(WorkerLinkService.method.link), {
      caller: "test/legs",
      features: Object.values(HAND_OFF_FEATURES),
      clock: systemClock,
      listener: {
        onState: (state) => (state === "ready" ? ready.resolve() : undefined),
        onWelcome: () => {},
        onStep: (step) => {
          this.step = step;
        },
        onNotice: () => {},
      },
    });
  }

  /** Asks for a leg. */
  start(init: Init): LegRunning {
    const done = Promise.withResolvers<LegSeen>();
    const begun = Promise.withResolvers<void>();
    const tokens: number[] = [];
    const logprobs: number[] = [];
    const tops: number[][] = [];
    const nothing = { cachedTokens: 0, completionTokens: 0, session: undefined, transfer: undefined };
    const listener: RequestListener = {
      onAccepted() {},
      onTokens(all, start, end, scored) {
        tokens.push(...all.subarray(start, end));
        logprobs.push(...(scored?.chosen ?? []));
        if (scored && scored.topTokens.length > 0) tops.push([...scored.topTokens, ...scored.topValues]);
        begun.resolve();
      },
      onText() {},
      onEmbedding() {},
      onFinish({ reason, error, session, transfer, cachedTokens, completionTokens }) {
        const counts = { cachedTokens, completionTokens };
        done.resolve({ tokens, logprobs, tops, end: error?.reason ?? reason, ...counts, session, transfer });
      },
      onLost: (error) =>
        done.resolve({ tokens, logprobs, tops, end: `lost ${asStatorError(error).reason}`, ...nothing }),
    };
    const submit = create(submitSchema, { requestId: "legs", kind: RequestKind.GENERATE, ...init } as Init);
    return { handle: this.link.submit(submit, listener), done: done.promise, begun: begun.promise };
  }

  /** All of a leg. */
  run(init: Init): Promise<LegSeen> {
    return this.start(init).done;
  }

  close(): void {
    this.link.close();
    this.#channel.close();
  }
}

/** An answer in two legs, as one: prefill first, then decode from its session. */
export async function handOver(prefill: LegCaller, decode: LegCaller, init: Init) {
  const first = await prefill.run({ ...init, kind: RequestKind.PREFILL });
  if (!first.session) return { first, second: undefined, ...joined(first) };
  const generatedTokenIds = writeU32(first.tokens);
  const second = await decode.run({ ...init, generatedTokenIds, session: first.session });
  return { first, second, ...joined(first, second) };
}

function joined(...legs: readonly LegSeen[]) {
  return {
    tokens: legs.flatMap(({ tokens }) => tokens),
    logprobs: legs.flatMap(({ logprobs }) => logprobs),
    tops: legs.flatMap(({ tops }) => tops),
    end: legs.at(-1)!.end,
  };
}
