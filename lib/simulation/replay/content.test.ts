import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { TokenHasher } from "#lib/tokens/block-hash";
import { type Content, ContentHashes, contentOf, joined, lengthOf } from "./content.ts";
import { NamedChain } from "./named-chain.ts";

/** Sizes of the blocks of traces and engines: equal, each divides the other, coprime. */
const SIZES = [
  [16, 16],
  [16, 4],
  [16, 64],
  [16, 5],
  [7, 16],
  [1, 3],
  [3, 1],
] as const;

/** Every token by its stretch and its place in it. */
function tokensOf({ names, ends }: Content): string[] {
  return [...names].flatMap((name, at) => {
    const begin = at === 0 ? 0 : ends[at - 1]!;
    return Array.from({ length: ends[at]! - begin }, (_, place) => `${name}.${place}`);
  });
}

/** Contents of which many begin alike, with other stretches behind them. */
function randomContents(seed: bigint, traceBlockTokens: number): Content[] {
  const chance = new SeededChance(seed);
  return Array.from({ length: 12 }, () => {
    let content = randomContent();
    // An answer and another turn: stretches that lie on no grid.
    while (chance.next() < 0.5) content = joined(content, randomContent());
    return content;
  });

  function randomContent(): Content {
    const tokens = 1 + pick(chance, traceBlockTokens * 6);
    const names = Array.from({ length: Math.ceil(tokens / traceBlockTokens) }, () => BigInt(1 + pick(chance, 2)));
    return contentOf(BigUint64Array.from(names), traceBlockTokens, tokens);
  }
}

test.each(SIZES)("stretches of %i in blocks of %i have equal hashes where their tokens are equal", (trace, block) => {
  const hashes = new ContentHashes(block);
  // Whatever has the same name has the same content, over all prompts of all seeds.
  const locals = new Map<string, bigint>();
  const sequences = new Map<string, bigint>();
  for (let seed = 0n; seed < 30n; seed++) {
    for (const content of randomContents(seed, trace)) {
      const tokens = tokensOf(content);
      const prompt = hashes.prompt(content);
      expect(prompt.tokens.length).toBe(tokens.length);
      expect(prompt.contents.length).toBe(Math.floor(tokens.length / block));
      expect(prompt.hashes.length).toBe(prompt.contents.length);
      for (const [at, local] of prompt.contents.entries()) {
        note(locals, tokens.slice(at * block, (at + 1) * block), local);
        note(sequences, tokens.slice(0, (at + 1) * block), prompt.hashes[at]!);
      }
    }
  }
  for (const met of [locals, sequences]) expect(new Set(met.values()).size).toBe(met.size);
  expect(sequences.size).toBeGreaterThan(30);
});

function note(met: Map<string, bigint>, tokens: readonly string[], hash: bigint): void {
  const key = tokens.join(" ");
  expect(met.get(key) ?? hash).toBe(hash);
  met.set(key, hash);
}

test("sequence hashes are chained as those of tokens are", () => {
  const prompt = new ContentHashes(4).prompt(contentOf(BigUint64Array.of(5n, 6n, 7n), 4, 12));
  const chained = new BigUint64Array(3);
  new TokenHasher().chainRange(prompt.contents, { from: 0, to: 3 }, chained);
  expect(prompt.hashes).toEqual(chained);
});

test("the tokens of a prompt are counted alone, and share their memory", () => {
  const hashes = new ContentHashes(16);
  const [short, long] = [hashes.tokens(3), hashes.tokens(1 << 18)];
  expect(short.length).toBe(3);
  expect(long.length).toBe(1 << 18);
  expect(hashes.tokens(5).buffer).toBe(long.buffer);
  expect(long.every((token) => token === 0)).toBe(true);
});

test("contents that are joined are as long as both, and hold both", () => {
  const left = contentOf(BigUint64Array.of(1n, 2n), 4, 6);
  const right = contentOf(BigUint64Array.of(3n), 4, 3);
  expect(tokensOf(joined(left, right))).toEqual([...tokensOf(left), ...tokensOf(right)]);
  expect(lengthOf(joined(left, right))).toBe(9);
  expect(lengthOf({ names: new BigUint64Array(0), ends: new Uint32Array(0) })).toBe(0);
});

test.each(SIZES)("a chain that grows, stretches of %i in blocks of %i, has the hashes of the whole", (trace, block) => {
  for (let seed = 0n; seed < 40n; seed++) {
    const chance = new SeededChance(1000n + seed);
    const hashes = new ContentHashes(block);
    const [content] = randomContents(seed, trace);
    const prompt = hashes.prompt(content!);
    const before = prompt.hashes.slice();
    const chain = new NamedChain(prompt, 99n, hashes);
    let answered = 0;
    for (let round = 0; round < 60; round++) {
      const count = chance.next() < 0.2 ? 1 + pick(chance, 3 * block) : 1;
      if (count === 1) chain.push();
      else chain.append(hashes.tokens(count));
      answered += count;
      const answer = contentOf(BigUint64Array.of(99n), answered, answered);
      const whole = hashes.prompt(joined(content!, answer));
      expect(chain.length).toBe(whole.tokens.length);
      expect(chain.completeBlocks).toBe(whole.hashes.length);
      expect(chain.hashes()).toEqual(whole.hashes);
      expect(chain.contents(0, chain.completeBlocks)).toEqual(whole.contents);
      if (whole.hashes.length > 0) expect(chain.hash(whole.hashes.length - 1)).toBe(whole.hashes.at(-1));
    }
    // The prompt is borrowed.
    expect(prompt.hashes).toEqual(before);
  }
});

test("of a chain no block is named that is not full", () => {
  const hashes = new ContentHashes(4);
  const chain = new NamedChain(hashes.prompt(contentOf(BigUint64Array.of(1n), 4, 3)), 9n, hashes);
  expect(() => chain.hash(0)).toThrow("complete block");
  expect(chain.hashes(0, 1).length).toBe(0);
  chain.push();
  expect(chain.hashes(0, 5).length).toBe(1);
  expect(chain.contents(1, 5).length).toBe(0);
});
