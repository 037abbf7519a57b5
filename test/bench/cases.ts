/** What a figure has to reach. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number };

/** One benchmark. It runs alone: `node test/bench/cases/FILE NAME` prints one line, the name and its figures as JSON. */
export interface BenchCase {
  /** In `test/bench/cases`. */
  readonly file: string;
  readonly about: string;
  /** By name of a figure; all figures that are a verdict are here, each against something measured in the same run. */
  readonly bounds: Readonly<Record<string, Bound>>;
  /** The same for figures that there are only with `--peer`. */
  readonly peerBounds?: Readonly<Record<string, Bound>>;
  /** Figures that are shown beside and are no verdict; `pinned` begins the name of one that holds by arrangement. */
  readonly beside?: readonly string[];
}

/** What the streams of a frontend are measured by: whether a core was full, and how many tokens joined on either side. */
const STREAMED = ["byRuleRatio", "oursPerRead", "basePerRead", "oursPerSecond", "oursCores"] as const;
const BARE_WRITER = "CPU per token of the frontend of `up` / of a bare SSE writer of the same rate that joins as much";

/** Streams whose tokens come one by one. */
function streams(about: string): BenchCase {
  return {
    file: "frontend.ts",
    about: `${BARE_WRITER}: ${about}`,
    bounds: { ratio: { atMost: 1.6 } },
    beside: STREAMED,
  };
}

/** Streams as fast as engines go. */
function fastStreams(about: string): BenchCase {
  return { ...streams(about), bounds: { ratio: { atMost: 1 } } };
}

function unary(about: string): BenchCase {
  return {
    file: "frontend.ts",
    about: `CPU per unary request of the frontend of \`up\`, saturated, / of a bare responder with a fixed body: ${about}`,
    bounds: { ratio: { atMost: 4.7 } },
    beside: ["proxyRatio", "pinnedPacedRatio", "oursCores", "oursPerSecond"],
  };
}

/** What routing by prefixes costs where no prompt is like another. */
function routing(about: string): BenchCase {
  return {
    file: "frontend.ts",
    about: `CPU of the frontend of \`up\` with --router-mode kv / with power-of-two, prompts not seen before: ${about}`,
    bounds: { ratio: { atMost: 1.1 } },
    beside: ["baseUs", "oursUs", "baseCores", "oursCores"],
  };
}

/** What the default rule is worth on a load, whose peers are replayed beside it. */
function worth(about: string, more: BenchCase["bounds"] = {}): BenchCase {
  return {
    file: "replay.ts",
    about: `mean time to the first token with ttft / with the best rule of others, each replayed on virtual time: ${about}`,
    bounds: { worstRatio: { atMost: 1 }, ...more },
    beside: ["cells"],
  };
}

/** Two legs of answers on as many workers as do both, and the default bypass, over an hour of conversations. */
function splits(about: string, { ratio }: { readonly ratio: number }): BenchCase {
  return {
    file: "replay.ts",
    about: `mean time to the first token on ${about} / on 8 that do both, KV at 10 GB/s; with the default bypass / the better of both`,
    bounds: { ratio: { atMost: ratio }, bypassRatio: { atMost: 1 } },
    beside: ["itlP99Ratio", "laterItlP99Ratio", "worstBypassRatio"],
  };
}

/** The same in six cells of the trace: three speeds, large and small caches; tails, hits, and a router that is wrong beside. */
function conversations(profile: string, bounds: { readonly worst: number; readonly mean: number }): BenchCase {
  return worth(`an hour of conversations, workers of ${profile}, 3 speeds, 8 workers of 10,000 and of 3,000 blocks`, {
    worstRatio: { atMost: bounds.worst },
    ratio: { atMost: bounds.mean },
    worstP99Ratio: { atMost: 1.02 },
    worstTunedRatio: { atMost: 1.02 },
    wrongRatio: { atMost: 1 },
    worstWrongRatio: { atMost: 1.03 },
    hitsOfCeiling: { atLeast: 0.9 },
    hitsOfOneCache: { atLeast: 0.85 },
  });
}

/** A whole choice, hash to record. */
function choice(about: string): BenchCase {
  return {
    file: "choice.ts",
    about: `a choice for a prompt of 8k tokens over 64 workers / XXH3 over its blocks by the addon: ${about}`,
    bounds: { ratio: { atMost: 80 } },
    beside: ["scriptRatio", "oursUs", "baseUs"],
  };
}

function tokenize(about: string, bounds: BenchCase["bounds"]): BenchCase {
  return {
    file: "tokenize.ts",
    about: `a chat of 8k tokens, tokenized by us / by the library, when new, and when all but the last was seen: ${about}`,
    bounds,
  };
}

function tokenizeNative(about: string): BenchCase {
  return tokenize(about, { new: { atMost: 0.25 }, seen: { atMost: 0.05 } });
}

function tokenizeScript(about: string): BenchCase {
  return tokenize(about, { new: { atMost: 1.25 }, seen: { atMost: 0.15 } });
}

/** How much faster than the usual library new text is encoded; the field's newest encoders stand beside. */
function newText(kind: string, vocabulary: string, least: number): BenchCase {
  return {
    file: "tokenize-new.ts",
    about: `CPU of encoders of PyPI / of ours for new ${kind}, first text and after a megabyte: ${vocabulary}`,
    bounds: { tokenizersCold: { atLeast: least }, tokenizersWarm: { atLeast: least } },
    beside: ["fastokensCold", "fastokensWarm", "gigatokenCold", "gigatokenWarm"],
  };
}

const LARGE_PAIRS = "byte pairs, 152k tokens";
const PAIRS = "byte pairs, 128k tokens";
const SCORED = "merges by score, 32k tokens";

function longConversation(about: string): BenchCase {
  return {
    file: "conversation.ts",
    about: `CPU of the 40th turn of a chat of 60k tokens, 500 of them new, parsed messages to ids and hashes / of a new 1k prompt: ${about}`,
    bounds: { ratio: { atMost: 1.5 } },
    beside: ["turnUs", "freshUs", "turnTokens", "freshTokens"],
  };
}

function open(about: string): BenchCase {
  return {
    file: "open.ts",
    about: `time to check a vocabulary and open its encoder / of the library to open the same file: ${about}`,
    bounds: { ratio: { atMost: 0.5 } },
    beside: ["whole", "checkMs", "encoderMs", "libraryMs"],
  };
}

/** Megabytes of a frontend that waits. */
function idleMemory(about: string): BenchCase {
  return {
    file: "memory.ts",
    about: `resident megabytes of a frontend that waits, started by \`up\` and by hand: ${about}`,
    bounds: { upMb: { atMost: 150 }, handMb: { atMost: 150 } },
  };
}

function newPrompts(about: string): BenchCase {
  return {
    file: "frontend.ts",
    about: `CPU per request of the frontend / of a server that parses and hashes each body: new prompts of ${about}`,
    bounds: {},
    peerBounds: { peerRatio: { atMost: 0.5 } },
    beside: ["ratio", "oursUs", "baseUs", "oursPerSecond"],
  };
}

function memoryAfterLoad(about: string): BenchCase {
  return {
    file: "memory.ts",
    about: `resident memory at most 30 s after 6,000 requests and four of 8 MB / before them: a frontend started ${about}`,
    bounds: { ratio: { atMost: 1.5 } },
    beside: ["idleMb", "loadedMb", "peakMb", "afterMb", "seconds"],
  };
}

function exact(about: string): BenchCase {
  return {
    file: "exact.ts",
    about: `tokens per CPU second of the llama engine, exact / not exact, decode of 16 and prefill: ${about}`,
    bounds: { decode: { atLeast: 0.95 }, prefill1000: { atLeast: 0.8 }, prefill4000: { atLeast: 0.8 } },
    beside: [
      "exactMb",
      "plainMb",
      "exactContext",
      "plainContext",
      "exactDecode",
      "plainDecode",
      "exactPrefill4000",
      "plainPrefill4000",
    ],
  };
}

/** All benchmarks by name: room, load, size. */
export const CASES: Readonly<Record<string, BenchCase>> = {
  "choice/ttft/8k/64-workers": choice("by the default rule"),
  "choice/dynamo/8k/64-workers": choice("by the reference's rule"),
  "choice/power-of-two/8k/64-workers": choice("by a rule that looks at no prefix"),
  "link/saturated/64-streams": {
    file: "link.ts",
    about: "CPU per token of both ends of the worker link / of a grpc-js stream per request, without pause",
    bounds: { ratio: { atMost: 1 / 8 } },
  },
  "link/paced/512-streams": {
    file: "link.ts",
    about: "the same with 512 streams in steps of 20 ms",
    bounds: { ratio: { atMost: 1 / 4 } },
  },
  "link/cancel/alone": {
    file: "link.ts",
    about: "median time from a cancel to the engine, nothing else running: link / grpc-js stream",
    bounds: { ratio: { atMost: 1 / 2 } },
  },
  "link/cancel/512-streams": {
    file: "link.ts",
    about: "the same beside 512 streams in steps of 20 ms",
    bounds: { ratio: { atMost: 1 / 2 } },
  },
  "frontend/stream/20-a-second": streams("1,024 streams of 20 tokens a second, 4 workers, 32k vocabulary"),
  "frontend/stream/50-a-second": streams("512 streams of 50"),
  "frontend/stream/200-a-second": streams("256 streams of 200"),
  "frontend/stream/800-a-second": fastStreams("64 streams of 800"),
  "frontend/stream/1500-a-second": fastStreams("64 streams of 1,500"),
  "frontend/stream/saturated": streams("2,048 streams of 50, more than a core can do one by one"),
  "frontend/stream/1-worker": streams("512 streams of 50, all of one worker"),
  "frontend/stream/16-workers": streams("512 streams of 50 of 16 workers"),
  "frontend/stream/2k-vocabulary": streams("512 streams of 50 with a small vocabulary"),
  "frontend/stream/128k-vocabulary": streams("512 streams of 50 with a large vocabulary"),
  "frontend/unary/1-worker": unary("16 connections, 1 worker, 32k vocabulary"),
  "frontend/unary/4-workers": unary("4 workers"),
  "frontend/unary/16-workers": unary("16 workers"),
  "frontend/unary/2k-vocabulary": unary("4 workers, a small vocabulary"),
  "frontend/unary/128k-vocabulary": unary("4 workers, a large vocabulary"),
  "replay/conversations/bench-8k": conversations("8,000 prompt tokens a second", { worst: 0.9, mean: 0.84 }),
  "replay/conversations/reference": conversations("the reference's fit", { worst: 1, mean: 0.94 }),
  "replay/sessions": worth("the same conversations, each turn after the answer to the one before"),
  "replay/unequal-workers": worth("two of eight workers at half speed"),
  "replay/outage": worth("two of eight workers die at half time and come back with empty caches"),
  "replay/prefix-groups": worth("128 groups of 32 prompts that share half of themselves, 4 workers"),
  "replay/split/7+1": splits("7 workers for prompts and 1 for answers", { ratio: 1.15 }),
  "replay/split/6+2": splits("6 workers for prompts and 2 for answers", { ratio: 1.3 }),
  "replay/cost": {
    file: "replay.ts",
    about: "the whole trace with one rule: CPU seconds and memory of the process, those of reading it among them",
    bounds: { cpuSeconds: { atMost: 8 }, residentMb: { atMost: 500 } },
  },
  "frontend/routing/unary": routing("unary requests, 16 workers"),
  "frontend/routing/stream": routing("512 streams of 50, 4 workers"),
  "frontend/routing/saturated": routing("2,048 streams of 50, more than a core can do one by one, 4 workers"),
  "frontend/new/6500-tokens": newPrompts("6,500 tokens"),
  "frontend/new/49000-tokens": newPrompts("49,000 tokens"),
  "kserve/stream/saturated": {
    file: "kserve.ts",
    about: "CPU per token of ModelStreamInfer, 64 calls / of a bare grpc-js writer of the same rate that joins as much",
    bounds: { ratio: { atMost: 1.25 } },
    beside: ["fullRatio", "oursPerRead", "oursUs", "baseUs", "oursPerSecond", "oursCores"],
  },
  "kserve/stream/50-a-second": {
    file: "kserve.ts",
    about: "CPU per token of 512 streams of 50 by ModelStreamInfer, 16 calls a connection / as server-sent events",
    bounds: { ratio: { atMost: 1.25 } },
    beside: ["aloneRatio", "oursUs", "baseUs", "oursPerRead", "basePerRead", "oursCores"],
  },
  "kserve/unary/200-tokens": {
    file: "kserve.ts",
    about: "CPU per ModelInfer of 200 new tokens, 16 connections / per request at /v1/completions of the same frontend",
    bounds: { ratio: { atMost: 1.3 } },
    beside: ["chatRatio", "oursUs", "baseUs", "oursPerSecond", "oursCores"],
  },
  "kserve/tensors/8-mb": {
    file: "kserve.ts",
    about:
      "CPU of the frontend per tensor of 8 MiB both ways / of a bare grpc-js relay; growth of its memory / payloads",
    bounds: { ratio: { atMost: 1.5 }, sharedRatio: { atMost: 0.05 }, peakRatio: { atMost: 6 } },
    beside: ["oursUs", "baseUs", "sharedUs", "peakMb", "oursPerSecond"],
  },
  "loop/worst-inputs": {
    file: "loop.ts",
    about: "longest gap of 64 streams beside the worst inputs of each route / alone; new streams refused meanwhile",
    bounds: { gapRatio: { atMost: 2 }, refusals: { atMost: 0 } },
    beside: ["aloneMs", "worstMs"],
  },
  "tokenize/native/demo": tokenizeNative("the demo model's vocabulary"),
  "tokenize/native/32k": tokenizeNative("a vocabulary of 32k"),
  "tokenize/native/128k": tokenizeNative("a vocabulary of 128k"),
  "tokenize/script/demo": tokenizeScript("without the addon, against the JavaScript library"),
  "tokenize/script/32k": tokenizeScript("without the addon, a vocabulary of 32k"),
  "tokenize/script/128k": tokenizeScript("without the addon, a vocabulary of 128k"),
  "tokenize/new/128k-prose": newText("prose", PAIRS, 10),
  "tokenize/new/128k-code": newText("code", PAIRS, 10),
  "tokenize/new/128k-chinese": newText("Chinese", PAIRS, 10),
  "tokenize/new/128k-mixed": newText("chat of many languages and emoji", PAIRS, 10),
  "tokenize/new/152k-prose": newText("prose", LARGE_PAIRS, 10),
  "tokenize/new/152k-code": newText("code", LARGE_PAIRS, 10),
  "tokenize/new/152k-chinese": newText("Chinese", LARGE_PAIRS, 10),
  "tokenize/new/152k-mixed": newText("chat of many languages and emoji", LARGE_PAIRS, 10),
  "tokenize/new/32k-scored-prose": newText("prose", SCORED, 5),
  "tokenize/new/32k-scored-code": newText("code", SCORED, 5),
  "tokenize/new/32k-scored-chinese": newText("Chinese", SCORED, 5),
  "tokenize/new/32k-scored-mixed": newText("chat of many languages and emoji", SCORED, 5),
  "conversation/turn-40/marks": longConversation("a template with control tokens around messages"),
  "conversation/turn-40/plain": longConversation("a template that writes no control token"),
  "path/8k": {
    file: "path.ts",
    about:
      "CPU from the bytes of a chat request with 8k new tokens to ids and hashes / of JSON.parse, encoder and one XXH3",
    bounds: { ratio: { atMost: 1.3 } },
    beside: ["wholeUs", "jsonUs", "encodeUs", "hashUs", "tokens"],
  },
  "transfer/shared/1-mib": {
    file: "transfer.ts",
    about:
      "time of one memcpy / of a 1 MiB block out of another process's sealed memory; the same with XXH3 on both sides",
    bounds: { plainShare: { atLeast: 0.6 }, checkedShare: { atLeast: 0.8 } },
    beside: ["checkedGbps"],
  },
  "transfer/process/1-mib": {
    file: "transfer.ts",
    about: "time of one memcpy / of a 1 MiB block by process_vm_readv; the same with XXH3 on both sides",
    bounds: { plainShare: { atLeast: 0.35 } },
    beside: ["checkedShare", "checkedGbps"],
  },
  "transfer/socket/1-mib": {
    file: "transfer.ts",
    about:
      "time of a plain socket in C++ that pushes 1 MiB blocks / of a block that was asked for; checked by XXH3 beside",
    bounds: { plainShare: { atLeast: 0.8 } },
    beside: ["checkedShare", "checkedGbps"],
  },
  "transfer/grpc": {
    file: "transfer-rungs.ts",
    about:
      "1 MiB blocks from one agent to another: time in messages of gRPC / by the addon's socket; shared memory beside",
    bounds: { ratio: { atMost: 4 } },
    beside: ["grpcGbps", "tcpGbps", "sharedGbps"],
  },
  "handoff/1024-tokens": {
    file: "handoff.ts",
    about: "1,024 tokens of the demo model from another process into the engine / computing as many",
    bounds: { ratio: { atMost: 0.1 } },
    beside: ["withTokenRatio", "transferMs", "recomputedMs"],
  },
  "handoff/beside-decodes": {
    file: "handoff.ts",
    about:
      "what imports and exports add to engine steps at p99, by the engine thread; time between tokens with prompts coming in / with their bytes discarded",
    bounds: { importAddedP99: { atMost: 0.1 }, exportAddedP99: { atMost: 0.1 }, itlRatio: { atMost: 1.2 } },
    beside: ["itlP99Ratio", "importShareOfAll", "steps"],
  },
  "handoff/long-prompts": {
    file: "handoff-cluster.ts",
    about:
      "time between tokens at p99, long prompts coming in: a worker that computes prompts and one that goes on / two that do both",
    bounds: { itlP99Ratio: { atMost: 0.6 } },
    beside: ["itlP50Ratio", "togetherP99Ms", "apartP99Ms", "handOffs"],
  },
  "index/match/1m": {
    file: "prefix-index.ts",
    about:
      "a 512-block match in a million entries of 64 workers / a flat table in C++ that is given chain hashes; bytes per entry",
    bounds: { ratio: { atMost: 3 }, bytesPerEntry: { atMost: 64 } },
    beside: ["ratio32", "ratio4000", "matchUs", "storedPerSecond"],
  },
  "index/hash/8k": {
    file: "prefix-index.ts",
    about: "from 8k token ids to what 64 workers have of them, hashing by the addon / XXH3 of its blocks by the addon",
    bounds: { addonRatio: { atMost: 10 } },
    beside: ["scriptRatio", "bareUs"],
  },
  "index/memory/20m-events": {
    file: "prefix-index.ts",
    about: "what a process with an index over a full budget keeps after 20 million events / after 2 million",
    bounds: { growth: { atMost: 1.05 }, ofBudget: { atMost: 1 } },
    beside: ["evictedShare", "keptMb"],
  },
  "open/152k": open("byte pairs, 152k tokens"),
  "open/128k": open("byte pairs, 128k tokens"),
  "open/32k-scored": open("merges by score, 32k tokens"),
  "template/simple": {
    file: "template.ts",
    about: "rendering 41 messages with a simple template, by us / by @huggingface/jinja with globals made once",
    bounds: { prepared: { atMost: 1 } },
    beside: ["library", "oursUs"],
  },
  "template/tools": {
    file: "template.ts",
    about: "rendering 41 messages and five tools with an elaborate template, by us / by @huggingface/jinja",
    bounds: { library: { atMost: 3 } },
    beside: ["prepared", "oursUs"],
  },
  "exact/random-q8_0": exact("random weights, 126 million of them, as Q8_0"),
  "exact/random-q4_k": exact("the same as Q4_K, which the library repacks"),
  "exact/given-model": exact("the file that BENCH_MODEL names"),
  "embedded/16-streams": {
    file: "embedded.ts",
    about: "tokens per CPU second of worker and frontend / of the addon driven directly",
    bounds: { ratio: { atLeast: 0.8 } },
    beside: ["workerUs", "frontendUs", "directUs"],
  },
  "events/two-subscribers": {
    file: "events.ts",
    about: "tokens per CPU second of a llama worker whose cache two subscribers follow / of one that nobody follows",
    bounds: { ratio: { atLeast: 0.97 } },
    beside: ["followedPerCpuSecond", "alonePerCpuSecond", "blocksPerTurn"],
  },
  "start/first-token": {
    file: "start.ts",
    about: "seconds from `npm start` to the first streamed token, compile cache empty and full",
    bounds: { coldSeconds: { atMost: 3 }, warmSeconds: { atMost: 3 } },
    beside: ["warmReadySeconds", "bareSeconds"],
  },
  "memory/idle/2k-vocabulary": idleMemory("a small vocabulary"),
  "memory/idle/32k-vocabulary": idleMemory("a vocabulary of 32k"),
  "memory/idle/128k-vocabulary": idleMemory("a vocabulary of 128k"),
  "memory/after-load/up": memoryAfterLoad("by `up`"),
  "memory/after-load/by-hand": memoryAfterLoad("by hand"),
  "memory/50k-requests": {
    file: "memory.ts",
    about: "resident megabytes of a frontend after 50,000 requests, and what is kept then / after 1,000",
    bounds: { residentMb: { atMost: 225 }, growth: { atMost: 1.2 } },
    beside: ["peakMb"],
  },
};
