import type { Dispatcher } from "#lib/serving/dispatcher";
import type { Exchange } from "../http/exchange.ts";
import type { GenerationPlan } from "./plan.ts";
import { StreamAnswer } from "./stream-answer.ts";
import type { AnswerTools } from "./tools.ts";
import { UnaryAnswer } from "./unary-answer.ts";

/** Runs a plan and answers with what comes. Throws when it could not be started; nothing ran then. */
export function runPlan(plan: GenerationPlan, exchange: Exchange, dispatcher: Dispatcher, tools: AnswerTools): void {
  // The client may have left while its prompt was tokenized.
  if (exchange.closed) return;
  const answer = plan.stream ? new StreamAnswer(plan, exchange, tools) : new UnaryAnswer(plan, exchange, tools);
  answer.attach(dispatcher.start(plan.request, answer));
}
