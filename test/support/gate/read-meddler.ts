import type { BlockStore } from "#lib/transfer/block-store";

/**
 * The blocks of an engine, of which one bit each changes when they are read: after their checksums were made, as memory or
 * a wire would do it.
 */
export function createReadMeddler(store: BlockStore, onMeddled: (blocks: number) => void): BlockStore {
  let blocks = 0;
  return {
    get places() {
      return store.places;
    },
    get staging() {
      return store.staging;
    },
    count: (hashes) => store.count(hashes),
    pin: (hashes) => store.pin(hashes),
    open: (wanted) => store.open(wanted),
    async read(run, from, into) {
      const checksums = await store.read(run, from, into);
      for (const bytes of into) {
        blocks++;
        bytes[(blocks * 37) % bytes.length]! ^= 1 << (blocks % 8);
      }
      onMeddled(into.length);
      return checksums;
    },
  };
}
