import { create } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { PayloadService } from "#gen/stator/worker/v1/payload_pb";
import { writeU32 } from "#lib/base/bytes";
import { asStatorError, type StatorError } from "#lib/base/errors";
import { createService } from "#lib/rpc/service";
import type {
  Fetched,
  FetchOptions,
  KeptPrompt,
  TransferAgent,
  TransferEngine,
  TransferPrompt,
  TransferSource,
} from "#lib/transfer/agent";

/** A fetch that waits for the test. */
export interface FakeFetch {
  readonly from: TransferSource;
  readonly prompt: TransferPrompt;
  readonly signal: AbortSignal;
  /** Ends it. */
  resolve(fetched: Fetched): void;
  reject(error: unknown): void;
}

/** An agent that moves nothing: it notes what it is told, and fetches end when a test says so. */
export class FakeTransferAgent implements TransferAgent {
  readonly service = createService(PayloadService, {
    exchange: () => ({}),
    pull: { open: (channel) => channel.end() },
    release: () => ({}),
  });
  /** In order. */
  readonly said: string[] = [];
  readonly kept: KeptPrompt[] = [];
  readonly fetches: FakeFetch[] = [];
  readonly sessions = new Set<string>();
  readonly #emptied: (() => void)[] = [];
  engine: TransferEngine | undefined;
  isFull = false;
  #onFreed: (() => void) | undefined;
  /** Set to refuse the next room. */
  refuse: StatorError | undefined;

  get load() {
    return { openSessions: this.sessions.size, pinnedBlocks: this.sessions.size * 2, isFull: this.isFull };
  }

  serve(engine: TransferEngine, onFreed?: () => void): void {
    this.engine = engine;
    this.#onFreed = onFreed;
  }

  announce(room: bigint, { tokens }: TransferPrompt): void {
    if (this.refuse) throw this.refuse;
    this.said.push(`room ${room} of ${tokens.length}`);
  }

  progressed(): void {
    this.said.push("progressed");
  }

  keep(prompt: KeptPrompt) {
    this.kept.push(prompt);
    const sessionId = String(this.kept.length);
    this.sessions.add(sessionId);
    const firstTokenIds = writeU32(prompt.firstTokens);
    return create(KvSessionSchema, { sessionId, transfer: "stator", firstTokenIds, leaseMs: 1000 });
  }

  fail(room: bigint, { reason }: StatorError): void {
    this.said.push(`room ${room} ${reason}`);
  }

  fetch(from: TransferSource, prompt: TransferPrompt, { signal }: FetchOptions): Promise<Fetched> {
    return new Promise((resolve, reject) => {
      this.fetches.push({ from, prompt, signal, resolve, reject });
      signal.addEventListener("abort", () => reject(asStatorError(signal.reason)));
    });
  }

  release(sessionIds: readonly string[]): void {
    for (const id of sessionIds) if (this.sessions.delete(id)) this.#onFreed?.();
    if (this.sessions.size === 0) for (const tell of this.#emptied.splice(0)) tell();
  }

  emptied(): Promise<void> {
    return this.sessions.size === 0 ? Promise.resolve() : new Promise((resolve) => this.#emptied.push(resolve));
  }

  renewed({ reason }: StatorError): void {
    this.said.push(`renewed ${reason}`);
    this.sessions.clear();
  }

  async close(error: StatorError): Promise<void> {
    for (const { reject } of this.fetches) reject(error);
  }
}
