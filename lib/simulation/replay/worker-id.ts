/** The instance of the worker at a place from 0, as the router of a replay knows it. */
export function workerAt(place: number): bigint {
  return BigInt(place + 1);
}

/** The place of a worker of a replay, by its instance. */
export function placeOfWorker(worker: bigint): number {
  return Number(worker) - 1;
}
