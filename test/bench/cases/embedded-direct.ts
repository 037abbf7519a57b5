// The addon driven directly with given prompts, in a process of its own.
//   node embedded-direct.ts; then {prompts, outputTokens} by IPC; answers with a DirectFigure.
import { measureEngineDirect } from "./engine-direct.ts";

/** Prompts as token ids by stream and round; round 0 is not measured. */
export interface DirectQuestion {
  readonly prompts: readonly (readonly (readonly number[])[])[];
  /** Tokens that each request draws. */
  readonly outputTokens: readonly (readonly number[])[];
}

process.on("message", ({ prompts, outputTokens }: DirectQuestion) => {
  const promptOf = (stream: number, round: number) => Uint32Array.from(prompts[stream]?.[round] ?? []);
  const rounds = (prompts[0]?.length ?? 0) - 1;
  const promptTokens = Math.max(...prompts.flat().map((ids) => ids.length));
  const outputTokensOf = (stream: number, round: number) => outputTokens[stream]?.[round] ?? 0;
  const load = { streams: prompts.length, promptTokens, outputTokens: Math.max(...outputTokens.flat()), rounds };
  measureEngineDirect({ ...load, promptOf, outputTokensOf }).then(
    (figure) => process.send?.(figure),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
process.on("disconnect", () => process.exit());
process.send?.({});
