import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { TokenHasher } from "./block-hash.ts";
import { TokenChain } from "./token-chain.ts";

test("however a sequence grows, its hashes are those of the whole", () => {
  const hasher = new TokenHasher();
  for (let seed = 0; seed < 40; seed++) {
    const chance = new SeededChance(BigInt(seed));
    const blockTokens = 1 + pick(chance, 40);
    const tokens = Uint32Array.from({ length: pick(chance, 300) }, () => pick(chance, 2 ** 32));
    const first = pick(chance, tokens.length + 1);
    const chain = new TokenChain(hasher, tokens.subarray(0, first), { blockTokens, seed: 99n });
    for (let at = first; at < tokens.length; ) {
      const step = Math.min(pick(chance, 5), tokens.length - at);
      if (step === 0) chain.push(tokens[at]!);
      else chain.append(tokens.subarray(at, at + step));
      at += Math.max(1, step);
    }
    const whole = new BigUint64Array(Math.floor(tokens.length / blockTokens));
    hasher.hashBlocks(tokens, blockTokens, 99n, whole.slice(), whole);
    expect(chain.tokens()).toEqual(tokens);
    expect(chain.hashes(), `seed ${seed}`).toEqual(whole);
  }
});
