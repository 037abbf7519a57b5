import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import type { Chance } from "#lib/base/chance";
import type { Clock, Timer } from "#lib/base/clock";
import type { Rostered } from "#lib/base/collections";
import { asStatorError, type StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { RouteAnswer, RouteNote, Router, Ticket } from "#lib/routing/router";
import type { CarriedAsk } from "#lib/serving/ask";
import { createLife, type Life, type LifeLimits } from "#lib/serving/life";
import type { LifeEffect, LifeEvent } from "#lib/serving/life-event";
import { routeAsk } from "#lib/serving/route-ask";
import { stepLife } from "#lib/serving/step-life";
import type { Compile } from "./asked-form.ts";
import type { Seat } from "./seat.ts";

/** What a running request needs of the dispatcher. */
export interface RunOptions {
  /** Of its deadline and its waits. */
  readonly clock: Clock;
  /** Draws the numbers of rooms. */
  readonly chance: Chance;
  /** Told when the request fails by a fault of ours. */
  readonly log: Log;
  /** How long it is tried, where that differs from the usual. */
  readonly limits: Partial<LifeLimits> | undefined;
  /** Decides where it runs. */
  readonly router: Router;
  /** For workers that take grammars alone. */
  readonly compile: Compile;
  /** Our end of a worker; undefined when there is none any more. */
  readonly seat: (worker: bigint) => Seat | undefined;
  /** It waits for a worker, or does so no longer. */
  readonly onWaiting: (run: LifeRun, waiting: boolean) => void;
  /** It has ended and its owner was told; called once, with what is written of it. */
  readonly onDone: (run: LifeRun, record: RequestRecord) => void;
}

/** One ask of a router. */
interface Asked {
  /** undefined while the router is being asked. */
  ticket: Ticket | undefined;
}

/** An effect that depends on what carries the request; placing, waiting and noting do not. */
export type CarriedEffect = Exclude<LifeEffect, { kind: "place" | "note" | "done" }>;

/**
 * Runs one life, whatever carries the request: asks the router for places, waits for workers, tells the router what comes
 * of it, keeps the deadline and hands its record over. How it goes to a worker and who is told is for those who extend it.
 */
export abstract class LifeRun implements Rostered {
  /** Place among the open ones. */
  rosterAt = -1;
  protected readonly options: RunOptions;
  protected readonly life: Life;
  /** Who placed each choice, until it ended there. */
  readonly #asked: (Asked | undefined)[];
  /** The same of the legs that began ahead; none unless a router places such. */
  readonly #askedAhead: (Asked | undefined)[] = [];
  /** What was asked and is not answered. */
  #asking: Asked | undefined;
  readonly #events: LifeEvent[] = [];
  /** The owner or an effect is being called: events wait, so that calls never nest. */
  #busy = false;
  #deadline: Timer | undefined;
  #wait: Timer | undefined;

  /** Nothing runs before `start`. */
  constructor(request: CarriedAsk, options: RunOptions) {
    const { clock, limits } = options;
    this.options = options;
    this.life = createLife(request, { nowMs: clock.nowMs(), unixMs: clock.unixMs(), limits });
    this.#asked = this.life.choices.map(() => undefined);
  }

  /** Asks for a place. Nobody hears of it before the end of this turn. */
  start(): void {
    const { deadlineMs } = this.life.request;
    if (deadlineMs !== undefined) {
      this.#deadline = this.options.clock.after(deadlineMs, () => this.tell({ kind: "deadline" }));
    }
    // A first place is asked for at once, where a later one waits for the end of the turn.
    stepLife(this.life, { kind: "start" }, this.options.clock.nowMs());
    this.#ask();
  }

  cancel(): void {
    this.tell({ kind: "cancel" });
  }

  /** A worker is not to be waited for. */
  suspect(worker: bigint, error: StatorError): void {
    this.tell({ kind: "suspect", worker, error });
  }

  /** Ends with an error. */
  fail(error: StatorError): void {
    this.tell({ kind: "fail", error });
  }

  /** Looks for a worker now, if it is waiting for one. */
  wake(): void {
    if (!this.#wait) return;
    this.#wait.cancel();
    this.#search();
  }

  /** Something happened. */
  tell(event: LifeEvent): void {
    this.#events.push(event);
    if (!this.#busy) this.#drain();
  }

  /** Carries an effect out. What it throws is a bug of whoever receives, and fails the request. */
  protected abstract carry(effect: CarriedEffect): void;

  /** The record was written and everything told; nothing follows. */
  protected abstract over(record: RequestRecord): void;

  /** The owner is about to be called beside the events: what happens meanwhile waits for `left`. No closure is made for a token. */
  protected entered(): void {
    this.#busy = true;
  }

  /** The owner was called. */
  protected left(): void {
    this.#busy = false;
    if (this.#events.length > 0) this.#drain();
  }

  /** A bug of whoever receives must not reach what carries everybody's requests. */
  protected broken(error: unknown): void {
    this.options.log.error("request failed inside", { request: this.life.request.requestId, error });
    this.#events.push({ kind: "fail", error: asStatorError(error) });
  }

  /** Tells the router what became of a choice. */
  protected note(note: RouteNote): void {
    const asked = note.ahead ? this.#askedAhead : this.#asked;
    asked[note.choice]?.ticket?.note(note);
    if (note.kind === "ended") asked[note.choice] = undefined;
  }

  #drain(): void {
    this.#busy = true;
    for (let event = this.#events.shift(); event; event = this.#events.shift()) {
      for (const effect of stepLife(this.life, event, this.options.clock.nowMs())) {
        try {
          this.#run(effect);
        } catch (error) {
          this.broken(error);
        }
      }
    }
    this.#busy = false;
  }

  #run(effect: LifeEffect): void {
    switch (effect.kind) {
      case "place":
        this.#place(effect.delayMs);
        return;
      case "note":
        this.note(effect.note);
        return;
      case "done":
        this.#done(effect.record);
        this.over(effect.record);
        return;
      default:
        this.carry(effect);
    }
  }

  #place(delayMs: number): void {
    if (delayMs === 0) {
      // At the end of the turn: a worker that was lost tells its requests one by one.
      this.options.clock.soon(() => this.#search());
      return;
    }
    this.options.onWaiting(this, true);
    this.#wait = this.options.clock.after(delayMs, () => this.#search());
  }

  #search(): void {
    if (this.#wait) this.options.onWaiting(this, false);
    this.#wait = undefined;
    if (this.life.done) return;
    this.#ask();
  }

  #ask(): void {
    const ask = routeAsk(this.life);
    const asked: Asked = { ticket: undefined };
    this.#asking = asked;
    asked.ticket = this.options.router.place(ask, (answer) => this.#answered(asked, answer));
  }

  #answered(asked: Asked, answer: RouteAnswer): void {
    // What was withdrawn is not answered.
    if (this.#asking !== asked) return;
    this.#asking = undefined;
    if (answer.kind === "placed") {
      for (const { choices, ahead } of answer.places) {
        for (const choice of choices) {
          this.#asked[choice] = asked;
          if (ahead) this.#askedAhead[choice] = asked;
        }
      }
      this.tell(answer);
      return;
    }
    // During the call: whoever starts a request does not hear its end before it has the handle.
    const isEnd = answer.final || answer.error.row.retry !== "backoff";
    if (isEnd && !asked.ticket) this.options.clock.soon(() => this.tell(answer));
    else this.tell(answer);
  }

  #done(record: RequestRecord): void {
    this.#deadline?.cancel();
    if (this.#wait) this.options.onWaiting(this, false);
    this.#wait?.cancel();
    this.#wait = undefined;
    this.#asking?.ticket?.cancel();
    this.#asking = undefined;
    this.options.router.done(this.life);
    this.options.onDone(this, record);
  }
}
