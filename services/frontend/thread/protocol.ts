import type { Facts, Reason } from "#lib/base/errors";

/** What a thread is told. */
export interface ThreadOrder<Order> {
  /** Above 0 it gets one answer; with 0 nobody waits. */
  readonly call: number;
  /** What is to be done. */
  readonly order: Order;
}

/** A StatorError as a thread sends it. */
export interface ThreadRefusal {
  /** A row of the table of errors. */
  readonly reason: Reason;
  /** What fills in its sentence. */
  readonly facts: Facts;
  /** Field of the request that is wrong; undefined when it is none. */
  readonly param: string | undefined;
}

/** What a thread answers. */
export interface ThreadAnswer<Answer> {
  /** That of the order. */
  readonly call: number;
  /** undefined when it failed, and where an order has none. */
  readonly answer: Answer | undefined;
  /** Set when it failed. */
  readonly refusal: ThreadRefusal | undefined;
}
