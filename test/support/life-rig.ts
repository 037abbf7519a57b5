import { StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import { createLife, type Life, type LifeLimits } from "#lib/serving/life";
import type { LifeEffect, LifeEvent } from "#lib/serving/life-event";
import { type PlainChanges, plainAsk } from "#lib/serving/plain-ask";
import { routeAsk } from "#lib/serving/route-ask";
import { stepLife, takeTokens } from "#lib/serving/step-life";

/** A link ended without a word of why. */
export const lost = new StatorError("STREAM_LOST", { detail: "test" });
/** A worker that goes away refuses. */
export const draining = new StatorError("DRAINING", { what: "it" });
/** Nobody could take it. */
export const nobody = new StatorError("NO_WORKERS", { model: "m" });

/** A request whose life is moved by hand. */
export class LifeRig {
  readonly life: Life;
  nowMs: number;

  constructor(
    { texts, ...request }: PlainChanges & { texts?: readonly (string | Uint8Array)[] } = {},
    limits: Partial<LifeLimits> = {},
    arrivedMs = 0,
  ) {
    this.nowMs = arrivedMs;
    const ask = plainAsk(request);
    this.life = createLife(texts ? { ...ask, input: { kind: "text", texts } } : ask, {
      nowMs: arrivedMs,
      unixMs: 1_000,
      limits,
    });
    this.tell({ kind: "start" });
  }

  /** What is to be done, but for what the router is told. */
  tell(event: LifeEvent): LifeEffect[] {
    return stepLife(this.life, event, this.nowMs).filter(({ kind }) => kind !== "note");
  }

  placed(worker: bigint): LifeEffect[] {
    const place = { target: { worker, rank: undefined }, weights: "w", decision: { rule: "pinned" } } as const;
    return this.tell({ kind: "placed", places: [{ choices: routeAsk(this.life).choices, ...place }] });
  }

  /** Placed and accepted, every choice that waits. */
  run(worker: bigint, cachedTokens = 0): LifeEffect[] {
    const effects = this.placed(worker);
    for (const { index, phase } of this.life.choices)
      if (phase === "sent") effects.push(...this.accepted(index, cachedTokens));
    return effects;
  }

  accepted(choice = 0, cachedTokens = 0): LifeEffect[] {
    return this.tell({ kind: "accepted", choice, attempt: this.life.attempt, cachedTokens });
  }

  refused(error: StatorError, choice = 0): LifeEffect[] {
    return this.tell({ kind: "refused", choice, attempt: this.life.attempt, error });
  }

  lost(options: { choice?: number; died?: boolean; accepted?: boolean; error?: StatorError } = {}): LifeEffect[] {
    const { choice = 0, died = false, accepted = true, error = lost } = options;
    return this.tell({ kind: "lost", choice, attempt: this.life.attempt, error, accepted, died });
  }

  finished(finish: Partial<LinkFinish>, choice = 0): LifeEffect[] {
    const numbers = { stopToken: undefined, promptTokens: 3, cachedTokens: 0, completionTokens: 0, error: undefined };
    const whole: LinkFinish = { reason: "end", ...numbers, ...finish };
    return this.tell({ kind: "finished", choice, attempt: this.life.attempt, finish: whole });
  }

  tokens(count: number, choice = 0, attempt = this.life.attempt): number | undefined {
    const frame = { tokens: new Uint32Array(count).fill(7), start: 0, end: count, nowMs: this.nowMs };
    return takeTokens(this.life, { choice, attempt }, frame)?.length;
  }

  /** Nobody is there: how long until it asks again, or why it fails. */
  wait(error = nobody): number | string {
    const [effect] = this.tell({ kind: "unplaced", error, final: false });
    if (effect?.kind === "place") return effect.delayMs;
    return effect?.kind === "error" ? effect.error.reason : "nothing";
  }

  /** The workers that a place is not to choose. */
  avoided(effects: readonly LifeEffect[]): bigint[] {
    return effects.some(({ kind }) => kind === "place") ? [...routeAsk(this.life).avoid] : [];
  }
}

/** Effects in short: their kind, an error by its reason. */
export const reasons = (effects: readonly LifeEffect[]) =>
  effects.map((effect) => (effect.kind === "error" ? effect.error.reason : effect.kind));
