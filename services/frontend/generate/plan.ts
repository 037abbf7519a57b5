import type { ReadyAsk } from "#lib/serving/ask";
import type { StopStrings } from "#lib/text/stop";
import type { ModelText } from "../text/model-text.ts";

/** How log-probabilities are written: chat's form, completions' form, or not at all. */
export type LogprobForm = "chat" | "completion" | undefined;

/** A request that is ready to run: what the workers do, and how their tokens become an answer. It keeps everything. */
export interface GenerationPlan {
  readonly request: ReadyAsk;
  readonly text: ModelText;
  readonly form: "chat" | "completion";
  /** Such as chatcmpl-… */
  readonly id: string;
  readonly createdUnixSeconds: number;
  /** Choices in all: prompts times choices per prompt. */
  readonly choices: number;
  /** Compiled once for all choices; undefined without stop texts. */
  readonly stops: StopStrings | undefined;
  /** Text that begins the choices of each prompt; undefined without echo. */
  readonly echo: readonly string[] | undefined;
  readonly logprobs: LogprobForm;
  /** The answer is the prompt alone: what a worker draws all the same is dropped. */
  readonly promptOnly: boolean;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly continuousUsage: boolean;
  readonly explain: boolean;
}
