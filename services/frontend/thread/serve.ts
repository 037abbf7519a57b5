import { parentPort, type Transferable } from "node:worker_threads";
import { asStatorError, assert } from "#lib/base/errors";
import type { ThreadAnswer, ThreadOrder } from "./protocol.ts";

/** An answer, and what of it moves to the other thread without a copy. */
export interface Answered<Answer> {
  /** Copied to the other thread, but for what moves. */
  readonly answer: Answer;
  /** Buffers that move; this thread has them no more. */
  readonly transfer?: readonly Transferable[];
}

/**
 * Makes this thread answer the orders of a `CallThread`, in order. An error in an order that nobody waits for ends the
 * thread.
 */
export function serveOrders<Order, Answer>(handle: (order: Order) => Answered<Answer> | undefined): void {
  const port = parentPort;
  assert(port, "this is called in a worker thread");
  port.on("message", ({ call, order }: ThreadOrder<Order>) => {
    if (call === 0) {
      handle(order);
      return;
    }
    try {
      const { answer, transfer } = handle(order) ?? {};
      const told: ThreadAnswer<Answer> = { call, answer, refusal: undefined };
      port.postMessage(told, [...(transfer ?? [])]);
    } catch (caught) {
      const { reason, facts, param } = asStatorError(caught);
      port.postMessage({ call, answer: undefined, refusal: { reason, facts, param } } satisfies ThreadAnswer<Answer>);
    }
  });
}
