import type { Problem } from "../check.ts";

/** stream_options belongs to streams. */
export const streamOptionsRule = {
  about: "stream_options is taken only with stream: true.",
  check: (body: { readonly stream?: boolean | null; readonly stream_options?: object | null }): Problem | undefined =>
    body.stream_options && !body.stream
      ? { kind: "invalid", path: "stream_options", text: "is taken only with stream: true" }
      : undefined,
};

/** An answer cannot need more tokens than it may have. */
export function minTokensRule<Request extends { readonly min_tokens?: number | null }>(
  mostTokens: (body: Request) => number | null | undefined,
) {
  return {
    about: "min_tokens is at most the number of tokens asked for.",
    check(body: Request): Problem | undefined {
      const most = mostTokens(body);
      return body.min_tokens && most && body.min_tokens > most
        ? { kind: "invalid", path: "min_tokens", text: `is above ${most}, the most tokens asked for` }
        : undefined;
    },
  };
}
