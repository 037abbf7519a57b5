// The process that keeps a prompt's blocks for transfer-rungs.ts, anew for each question.
import { toBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { loadNative } from "#lib/native/addon";
import { openParty, promptOf } from "../transfer-party.ts";

const blocks = Number(process.argv[2]);
const agent = await openParty(loadNative().addon!, { blocks, rung: undefined, number: 1n });
process.on("message", () => {
  const session = agent.keep({ ...promptOf(blocks), firstTokens: Uint32Array.of(7) });
  process.send!(Buffer.from(toBinary(KvSessionSchema, session)).toString("base64"));
});
process.send!("ready");
