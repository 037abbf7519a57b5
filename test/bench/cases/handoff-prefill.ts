// The process that computes prompts for handoff.ts: {tokens, seed} asks for the session of one; {added} for what exports
// have added to its steps at p99 since it was asked last.
import { toBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { addedAtP99, openEngineParty } from "../engine-party.ts";
import { promptOf } from "../transfer-party.ts";

const { user, agent } = await openEngineParty(1n);
type Question = { readonly tokens: number; readonly seed: number } | { readonly added: true };

async function answer(question: Question): Promise<void> {
  if ("added" in question) {
    process.send!(addedAtP99(user.steps.splice(0)));
    return;
  }
  const prompt = promptOf(question.tokens, question.seed);
  const { tokens } = await user.ask(prompt.tokens, 1);
  const session = agent.keep({ ...prompt, firstTokens: Uint32Array.from(tokens) });
  process.send!(Buffer.from(toBinary(KvSessionSchema, session)).toString("base64"));
}

process.on("message", (question: Question) => void answer(question));
process.send!("ready");
