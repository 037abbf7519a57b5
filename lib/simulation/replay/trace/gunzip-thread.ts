import { createReadStream } from "node:fs";
import { type MessagePort, workerData } from "node:worker_threads";
import { createGunzip } from "node:zlib";

/** What the thread that unpacks is given. */
export interface GunzipOrder {
  /** Of the file. */
  readonly path: string;
  /** Takes what it says. */
  readonly port: MessagePort;
  /** How many messages it sent; one number, shared. */
  readonly sent: Int32Array<SharedArrayBuffer>;
  /** How many of them were taken; one number, shared. */
  readonly taken: Int32Array<SharedArrayBuffer>;
}

/** What it says: a piece, that there is none any more, or why it gave up. */
export type GunzipMessage = { readonly piece: Uint8Array | undefined } | { readonly failure: string };

/** Pieces that may wait to be taken. */
const MOST_WAITING = 16;

const { path, port, sent, taken } = workerData as GunzipOrder;

function tell(message: GunzipMessage): void {
  port.postMessage(message);
  Atomics.add(sent, 0, 1);
  Atomics.notify(sent, 0);
}

/** Sleeps until somebody took enough; so does the other thread while it has nothing. */
function wait(): void {
  for (;;) {
    const count = Atomics.load(taken, 0);
    if (Atomics.load(sent, 0) - count < MOST_WAITING) return;
    Atomics.wait(taken, 0, count);
  }
}

try {
  for await (const piece of createReadStream(path).pipe(createGunzip())) {
    tell({ piece });
    wait();
  }
  tell({ piece: undefined });
} catch (error) {
  tell({ failure: (error as Error).message });
}
