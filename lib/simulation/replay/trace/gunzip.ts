import { extname } from "node:path";
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import { StatorError } from "#lib/base/errors";
import type { GunzipMessage, GunzipOrder } from "./gunzip-thread.ts";

/** A thread that says nothing for so long, in ms, has died. */
const SILENCE_MS = 60_000;

/**
 * Bytes of a gzipped file, in pieces. Another thread unpacks, a little ahead of whoever takes them, since Node unpacks
 * piece by piece only behind a promise and a replay waits for none. Throws INVALID_ARGUMENT for a file that is damaged.
 */
export function* gunzipped(path: string): Generator<Uint8Array, undefined> {
  const { port1, port2: port } = new MessageChannel();
  const order: GunzipOrder = { path, port, sent: sharedCount(), taken: sharedCount() };
  const file = new URL(`./gunzip-thread${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
  const thread = new Worker(file, { name: "gunzip", workerData: order, transferList: [port] });
  thread.unref();
  try {
    for (let piece = take(port1, order); piece; piece = take(port1, order)) yield piece;
  } finally {
    port1.close();
    // One that sleeps until its pieces are taken ends all the same.
    thread.terminate().catch(() => {});
  }
}

function sharedCount(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4));
}

function take(from: MessagePort, { path, sent, taken }: GunzipOrder): Uint8Array | undefined {
  for (;;) {
    const count = Atomics.load(sent, 0);
    const received = receiveMessageOnPort(from) as { readonly message: GunzipMessage } | undefined;
    if (!received) {
      if (Atomics.wait(sent, 0, count, SILENCE_MS) === "timed-out") throw broken(path, "nothing unpacks it");
      continue;
    }
    Atomics.add(taken, 0, 1);
    Atomics.notify(taken, 0);
    const { message } = received;
    if ("failure" in message) throw broken(path, message.failure);
    return message.piece;
  }
}

function broken(path: string, why: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `The trace ${path} cannot be unpacked: ${why}` });
}
