import type { Facts, Reason } from "#lib/base/errors";

/** What a thread is told: a call has a number above 0 and gets one answer, with 0 nobody waits. */
export interface ThreadOrder<Order> {
  readonly call: number;
  readonly order: Order;
}

/** A StatorError as a thread sends it. */
export interface ThreadRefusal {
  readonly reason: Reason;
  readonly facts: Facts;
  readonly param: string | undefined;
}

/** What a thread answers. */
export interface ThreadAnswer<Answer> {
  readonly call: number;
  readonly answer: Answer | undefined;
  /** Set when it failed. */
  readonly refusal: ThreadRefusal | undefined;
}
