/** What a figure has to reach. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number };

/** One benchmark. It runs alone: `node test/bench/cases/FILE NAME` prints one line, the name and its figures as JSON. */
export interface BenchCase {
  /** In `test/bench/cases`. */
  readonly file: string;
  readonly about: string;
  /** By name of a figure; all figures that are a verdict are here, each against something measured in the same run. */
  readonly bounds: Readonly<Record<string, Bound>>;
}

/** All benchmarks by name: room, load, size. */
export const CASES: Readonly<Record<string, BenchCase>> = {
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
  "frontend/stream/512-paced": {
    file: "frontend.ts",
    about: "CPU per token of the frontend / of a bare SSE writer, one write per token; joined: both join four tokens",
    bounds: { ratio: { atMost: 1.6 }, joined: { atMost: 2.2 } },
  },
  "frontend/stream/64-unthrottled": {
    file: "frontend.ts",
    about: "the same with 64 streams as fast as they go",
    bounds: { ratio: { atMost: 1 } },
  },
  "frontend/unary/16": {
    file: "frontend.ts",
    about: "CPU per unary request of the frontend / of a bare responder with a fixed body",
    bounds: { ratio: { atMost: 4.7 } },
  },
  "tokenize/native/demo": {
    file: "tokenize.ts",
    about:
      "a chat of 8k tokens, tokenized by us / by the library: when new, and when all but the last message was seen",
    bounds: { new: { atMost: 1.25 }, seen: { atMost: 0.15 } },
  },
  "tokenize/native/made": {
    file: "tokenize.ts",
    about: "the same with a larger vocabulary",
    bounds: { new: { atMost: 1.25 }, seen: { atMost: 0.15 } },
  },
  "tokenize/script/demo": {
    file: "tokenize.ts",
    about: "the same without the addon, against the JavaScript library",
    bounds: { new: { atMost: 1.25 }, seen: { atMost: 0.15 } },
  },
  "tokenize/script/made": {
    file: "tokenize.ts",
    about: "the same without the addon, with a larger vocabulary",
    bounds: { new: { atMost: 1.25 }, seen: { atMost: 0.15 } },
  },
  "embedded/16-streams": {
    file: "embedded.ts",
    about: "tokens per CPU second of worker and frontend / of the addon driven directly",
    bounds: { ratio: { atLeast: 0.8 } },
  },
  "start/first-token": {
    file: "start.ts",
    about: "seconds from `npm start` to the first streamed token, compile cache empty and full",
    bounds: { coldSeconds: { atMost: 10 }, warmSeconds: { atMost: 10 } },
  },
  "memory/idle": {
    file: "memory.ts",
    about: "resident megabytes of a frontend that waits",
    bounds: { residentMb: { atMost: 150 } },
  },
  "memory/50k-requests": {
    file: "memory.ts",
    about: "the same after 50,000 requests, and what is kept then / after 1,000",
    bounds: { residentMb: { atMost: 225 }, growth: { atMost: 1.2 } },
  },
};
