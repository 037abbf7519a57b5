// The process that computes prompts for handoff.ts: {tokens, seed} asks for the session of one; {shares} for what exports
// have added to its steps since it was asked last.
import { toBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { openEngineParty, sharesOf } from "../engine-party.ts";
import { promptOf } from "../transfer-party.ts";

const { user, agent } = await openEngineParty(1n);
async function answer(question: { tokens: number; seed: number } | { shares: true }): Promise<void> {
  if ("shares" in question) {
    process.send!(sharesOf(user.steps.splice(0)));
    return;
  }
  const prompt = promptOf(question.tokens, question.seed);
  const { tokens } = await user.ask(prompt.tokens, 1);
  const session = agent.keep({ ...prompt, firstTokens: Uint32Array.from(tokens) });
  process.send!(Buffer.from(toBinary(KvSessionSchema, session)).toString("base64"));
}

process.on("message", (question: Parameters<typeof answer>[0]) => {
  answer(question).catch((error: unknown) => {
    throw error;
  });
});
process.send!("ready");
