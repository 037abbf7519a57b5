// The process that computes prompts for handoff.ts: {tokens, seed} asks for the session of one; {shares} for what exports
// have added to its steps since it was asked last.
import { toBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { openEngineParty, sharesOf } from "../engine-party.ts";
import { promptOf } from "../transfer-party.ts";

const { user, agent } = await openEngineParty(1n);
process.on("message", async (question: { tokens: number; seed: number } | { shares: true }) => {
  if ("shares" in question) {
    process.send!(sharesOf(user.steps.splice(0)));
    return;
  }
  const prompt = promptOf(question.tokens, question.seed);
  const { tokens } = await user.ask(prompt.tokens, 1);
  const session = agent.keep({ ...prompt, firstTokens: Uint32Array.from(tokens) });
  process.send!(Buffer.from(toBinary(KvSessionSchema, session)).toString("base64"));
});
process.send!("ready");
