import { toBinary } from "@bufbuild/protobuf";
import { KvSessionSchema } from "#gen/stator/worker/v1/link_pb";
import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";
import { promptOf, TransferRig, WIDE } from "./transfer-rig.ts";

// A process that keeps a prompt of so many tokens from a start on when it is told so, and tells what it keeps for no tokens.
// With a library as its argument it lends its memory by NIXL too.
const rig = new TransferRig();
const mover = openNativeMover(loadNative().addon!);
const [, , library] = process.argv;
const nixl = library === undefined ? undefined : await mover.openNixl({ library, name: `owner-${process.pid}` });
const owner = await rig.add({ mover, nixl, layout: WIDE, instanceId: 1000n, limits: { regionBytes: 1 << 21 } });
process.on("message", ([tokens, start]: [number, number]) => {
  if (tokens === 0) {
    process.send!({ ...owner.agent.load, pinned: owner.store.pinned });
    return;
  }
  const prompt = promptOf(tokens, start);
  owner.store.compute(prompt);
  process.send!(toBinary(KvSessionSchema, owner.agent.keep({ ...prompt, firstTokens: Uint32Array.of(7) })));
});
process.send!("ready");
