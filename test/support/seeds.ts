/** How much random tests do: 1, or as many times that as TEST_SCALE says. */
export const SCALE = Number(process.env.TEST_SCALE ?? 1);

/** Whether what takes minutes runs too: in `npm run test:long`. */
export const IS_LONG = SCALE > 1;

/** Lives so many worlds, times SCALE, one of each seed from 0 on. What a world throws is told with its seed. */
export function eachSeed(count: number, live: (seed: number) => void): void {
  for (let seed = 0; seed < count * SCALE; seed++) {
    try {
      live(seed);
    } catch (error) {
      throw tellSeed(seed, error);
    }
  }
}

function tellSeed(seed: number, error: unknown): Error {
  return new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
}

/** The same for worlds with promises, for so many seeds from one on. */
export async function eachSeedFrom(first: number, count: number, live: (seed: number) => Promise<void>): Promise<void> {
  for (let seed = first; seed < first + count; seed++) {
    try {
      await live(seed);
    } catch (error) {
      throw tellSeed(seed, error);
    }
  }
}
