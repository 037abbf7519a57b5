import { assert } from "#lib/base/errors";
import type { Ask } from "#lib/serving/ask";
import type { Dispatcher, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import { fillSampling } from "#lib/tokens/sampling";
import type { AnswerPlan, Asked, Door } from "../doors/door.ts";
import type { Reply } from "../doors/reply.ts";
import type { ServedModel } from "../models/served.ts";
import type { Conversation, OpenAsk } from "../read/reader.ts";
import { readSession, readTarget, readTrace } from "./beside.ts";
import { EmbeddingAnswer } from "./embedding-answer.ts";
import { createPlan, type PlanTools } from "./plan.ts";
import { type PrepareTools, prepare } from "./prepare.ts";
import { StreamAnswer } from "./stream-answer.ts";
import type { AnswerTools } from "./tools.ts";
import { UnaryAnswer } from "./unary-answer.ts";

/** What requests are served with; one for the whole frontend. */
export interface ServeTools extends PrepareTools, PlanTools {
  /** The model of a name; waits for one that is loading, as work of the reply. */
  readonly findModel: (name: string, reply: Pick<Reply<unknown>, "work">) => ServedModel | Promise<ServedModel>;
  /** Draws a seed for a request that has none. */
  readonly drawSeed: () => bigint;
  /** Runs what is ready. */
  readonly dispatcher: Dispatcher;
  /** What every answer works with. */
  readonly answers: AnswerTools;
}

/**
 * The one way behind every door: renders, tokenizes, runs what was read and answers with what comes. Throws what the caller
 * did wrong; nothing ran then.
 */
export async function serve<Form, Printed, Whole>(
  { asked, conversation }: OpenAsk<Form>,
  { door, reply }: { readonly door: Door<Form, Printed, Whole>; readonly reply: Reply<Printed, Whole> },
  tools: ServeTools,
): Promise<void> {
  const model = await tools.findModel(asked.ask.model, reply);
  const ignored = [...asked.ignored, ...unread(asked, model)];
  if (ignored.length > 0) reply.set("x-stator-ignored", ignored.join(", "));
  const ask: Ask<Conversation> = {
    ...asked.ask,
    requestId: reply.requestId,
    route: reply.route,
    adapter: undefined,
    input: conversation ? { kind: "messages", messages: conversation } : (asked.ask.input as Ask<never>["input"]),
    sampling: fillSampling(asked.ask.sampling, model.defaultSampling, tools.drawSeed),
    target: readTarget(reply.header("x-stator-worker")) ?? asked.ask.target,
    wishes: readSession(reply.header("x-stator-session"), asked.ask.wishes),
    traceparent: readTrace(reply.header("traceparent")),
  };
  const { dimensions, byToken } = asked;
  const ready = await prepare(ask, { model, words: door.words, dimensions, byToken }, tools);
  // The client may have left while its prompt was tokenized.
  if (reply.closed) return;
  const plan = createPlan(asked, ready, { text: model.text, tools });
  const answer = createAnswer(plan, { asked, door, reply }, tools.answers);
  answer.attach(tools.dispatcher.start(ready, answer));
}

/** Variables that the model's template does not ask for. */
function unread({ ask: { input } }: Asked<unknown>, { text }: ServedModel): string[] {
  if (input.kind !== "messages" || !input.messages.variables) return [];
  return Object.keys(input.messages.variables).filter((name) => !text.readsVariable(name));
}

const NO_PRINTER = "a door prints whatever it lets callers ask for";

function createAnswer<Form, Printed, Whole>(
  plan: AnswerPlan,
  { asked, door, reply }: { asked: Asked<Form>; door: Door<Form, Printed, Whole>; reply: Reply<Printed, Whole> },
  tools: AnswerTools,
): ServingSink & { attach(handle: ServingHandle): void } {
  const { printers } = door;
  if (plan.ask.kind === "embed") {
    assert(printers.embeddings, NO_PRINTER);
    return new EmbeddingAnswer(plan, { printer: printers.embeddings(plan, asked.form), reply }, tools);
  }
  if (asked.stream) {
    assert(printers.events, NO_PRINTER);
    return new StreamAnswer(plan, { printer: printers.events(plan, asked.form), reply }, tools);
  }
  assert(printers.body, NO_PRINTER);
  return new UnaryAnswer(plan, { printer: printers.body(plan, asked.form), reply }, tools);
}
