/** Tokens of one request. */
export interface Usage {
  /** Over its prompts; choices of one prompt share it. */
  readonly promptTokens: number;
  /** Of these, found in a prefix cache. */
  readonly cachedTokens: number;
  /** Over all choices. */
  readonly completionTokens: number;
}

/** The `usage` object of chat and completions. */
export function printUsage({ promptTokens, cachedTokens, completionTokens }: Usage): string {
  return (
    `{"prompt_tokens":${promptTokens},"completion_tokens":${completionTokens},` +
    `"total_tokens":${promptTokens + completionTokens},"prompt_tokens_details":{"cached_tokens":${cachedTokens}}}`
  );
}
