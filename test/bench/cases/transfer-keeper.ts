// The process that keeps a prompt of so many blocks for transfer-rungs.ts, anew for each question.
import { toBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { loadNative } from "#lib/native/addon";
import { BlockPool } from "../block-pool.ts";
import { openParty, promptOf } from "../transfer-party.ts";

const blocks = Number(process.argv[2]);
const addon = loadNative().addon!;
const store = new BlockPool(addon, blocks, true);
const agent = await openParty(addon, { ...store, store }, { number: 1n });
const prompt = promptOf(blocks * store.layout.blockTokens, 1);
process.on("message", () => {
  const session = agent.keep({ ...prompt, firstTokens: Uint32Array.of(7) });
  process.send!(Buffer.from(toBinary(KvSessionSchema, session)).toString("base64"));
});
process.send!("ready");
