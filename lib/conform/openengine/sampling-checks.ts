import { CandidateTokenSelectionMode } from "#gen/openengine/v1/model_pb";
import type { Check } from "../check.ts";
import { claimed, expect, seen } from "../failure.ts";
import { same } from "./answer-checks.ts";
import { type EngineBench, SAMPLE_TOKENS } from "./engine-bench.ts";
import type { Ask } from "./engine-caller.ts";

const TOKENS = SAMPLE_TOKENS;
const BEYOND = 2n ** 53n;
/** Pairs of seeds that a double cannot tell apart. */
const PAIRS = 8n;

/** How tokens are drawn, and what is told of the draws. */
export const SAMPLING_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "draws the most likely token at temperature 0, whatever the seed",
    sentence: "0 draws the most likely token.",
    of: "SamplingParams.temperature",
    async run(bench) {
      claimed(bench.exact, "answers are not compared");
      const ask = (seed: bigint) => ({ ...bench.greedy(TOKENS), sampling: { temperature: 0, seed } });
      const [one, other] = [await bench.caller.whole(ask(1n)), await bench.caller.whole(ask(2n))];
      expect(same(one, other), "two seeds give two greedy answers: an explicit 0 was taken for no value");
    },
  },
  {
    name: "draws the most likely token when it keeps one",
    sentence: "Keeps this many of the most likely tokens.",
    of: "SamplingParams.top_k",
    async run(bench) {
      claimed(bench.exact, "answers are not compared");
      const ask = { ...bench.greedy(TOKENS), sampling: { temperature: 1, topK: 1, seed: 3n } };
      const [one, greedy] = [await bench.caller.whole(ask), await bench.sample()];
      expect(same(one, greedy), "top_k 1 gives another answer than temperature 0");
    },
  },
  {
    name: "draws the same with the same seed",
    sentence: "Makes the draw repeatable.",
    of: "SamplingParams.seed",
    async run(bench) {
      claimed(bench.exact, "answers are not compared");
      const [one, again] = [await bench.caller.whole(drawn(bench, 5n)), await bench.caller.whole(drawn(bench, 5n))];
      expect(same(one, again), "one seed gives two answers");
    },
  },
  {
    name: "tells seeds beyond 2^53 apart",
    sentence:
      "Integers of 64 bits are exact beyond 2^53: seeds, sequence numbers, numbers of adapters and names of blocks.",
    of: "docs/conformance.md",
    async run(bench) {
      const text = async (seed: bigint) => (await bench.caller.whole(drawn(bench, seed))).ids.join();
      const small = new Set<string>();
      for (let seed = 1n; seed <= PAIRS; seed++) small.add(await text(seed));
      seen(small.size > PAIRS / 2n, "its draws hardly depend on the seed");
      let apart = 0;
      for (let pair = 0n; pair < PAIRS && apart === 0; pair++) {
        if ((await text(BEYOND + 2n * pair)) !== (await text(BEYOND + 2n * pair + 1n))) apart++;
      }
      expect(apart > 0, `${PAIRS} pairs of seeds that differ by 1 beyond 2^53 give equal answers`);
    },
  },
  {
    name: "reports a log-probability for each token that it gives",
    sentence: "Report log-probabilities of output tokens.",
    of: "ResponseOptions.return_output_logprobs",
    async run(bench) {
      claimOutput(bench);
      const { first } = await bench.caller.whole({ ...bench.greedy(6), response: { returnOutputLogprobs: true } });
      expect(first.tokens.length === 6, `${first.tokens.length} tokens came, 6 were asked for`);
      for (const { logprob } of first.tokens)
        expect(logprob !== undefined && logprob <= 1e-6, `a logprob is ${logprob}`);
    },
  },
  {
    name: "reports the most likely tokens in order",
    sentence: "This many of the most likely ones.",
    of: "CandidateTokenSelection.top_n",
    async run(bench) {
      const { candidateSelectionModes: modes, maxTopN = 1 } = claimOutput(bench);
      claimed(modes.includes(CandidateTokenSelectionMode.TOP_N) && maxTopN > 0, "it reports no alternatives");
      const most = Math.min(3, maxTopN);
      const response = { returnOutputLogprobs: true, outputCandidates: { selection: topN(most) } };
      const { first } = await bench.caller.whole({ ...bench.greedy(6), response });
      for (const { candidates } of first.tokens) {
        expect(candidates.length === most, `a token has ${candidates.length} candidates, ${most} were asked for`);
        const ranks = candidates.map(({ rank }, at) => rank ?? at + 1);
        expect(
          ranks.every((rank, at) => rank === at + 1),
          `the ranks are ${ranks.join(", ")}`,
        );
        const isSorted = candidates.every(({ logprob }, at) => at === 0 || logprob <= candidates[at - 1]!.logprob);
        expect(isSorted, "the candidates are not in order");
      }
    },
  },
  {
    name: "gives the most likely token rank 1",
    sentence: "Its place among all tokens at the position, 1 for the most likely one.",
    of: "TokenInfo.rank",
    async run(bench) {
      claimOutput(bench);
      const { first } = await bench.caller.whole({ ...bench.greedy(6), response: { returnOutputLogprobs: true } });
      const ranks = first.tokens.flatMap(({ rank }) => rank ?? []);
      claimed(ranks.length > 0, "it does not report ranks");
      expect(
        ranks.every((rank) => rank === 1),
        `greedy tokens have the ranks ${ranks.join(", ")}`,
      );
    },
  },
  {
    name: "reports no log-probabilities unasked",
    sentence: "What is reported besides tokens. Absent: nothing.",
    of: "GenerateRequest.response",
    async run(bench) {
      const { first, messages } = await bench.caller.whole(bench.greedy(6));
      const told = first.tokens.find(({ logprob, candidates }) => logprob !== undefined || candidates.length > 0);
      expect(!told, "a token has a log-probability or candidates");
      expect(!messages.some(({ event }) => event.case === "prompt"), "the prompt was reported");
    },
  },
  {
    name: "reports the prompt before the first token, and nothing of its first one",
    sentence: "One entry per reported position. The first token of a prompt has neither log-probability nor rank.",
    of: "PromptOutput.tokens",
    async run(bench) {
      claimed(bench.facts.model.generation?.promptLogprobs?.supported, "it does not report prompts");
      const call = await bench.caller.whole({ ...bench.greedy(2), response: { returnPromptLogprobs: true } });
      const event = call.messages[0]?.event;
      expect(event?.case === "prompt", `the first message is ${event?.case}`);
      const [head, ...rest] = event.value.tokens;
      expect(head && head.logprob === undefined && head.rank === undefined, "the first token has a log-probability");
      expect(
        rest.every(({ logprob }) => logprob !== undefined),
        "a later token has none",
      );
      const { promptTokens } = call.messages.at(-1)?.usage ?? {};
      expect(rest.length + 1 === promptTokens, `${rest.length + 1} of ${promptTokens} positions were reported`);
    },
  },
];

function topN(value: number) {
  return { case: "topN", value } as const;
}

function drawn(bench: EngineBench, seed: bigint): Ask {
  return { ...bench.greedy(TOKENS), sampling: { temperature: 1, seed } };
}

function claimOutput(bench: EngineBench) {
  const { outputLogprobs } = bench.facts.model.generation ?? {};
  claimed(outputLogprobs?.supported, "output_logprobs is not supported");
  return outputLogprobs;
}
