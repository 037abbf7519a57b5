import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { StatorError } from "#lib/base/errors";
import { runTool } from "./run-tool.ts";
import { PROGRAM_FOLDER } from "./tool-cache.ts";

/** What a build leaves for installs, which have no compiler: an image of all contracts, with their comments. */
const IMAGE = path.join(PROGRAM_FOLDER, "gen/contracts.binpb");

/** A FileDescriptorSet of the contracts of this program: that of the build, or in a checkout what `proto/` says now. */
export async function readContracts(signal?: AbortSignal): Promise<Uint8Array> {
  if (existsSync(IMAGE)) return readFileSync(IMAGE);
  const compiler = path.join(PROGRAM_FOLDER, "node_modules/.bin/buf");
  if (!existsSync(compiler)) {
    const hint = "In a checkout `npm ci` brings it; an installed package does not need it.";
    throw new StatorError("TOOL_UNUSABLE", { tool: "buf", detail: "is not among the development packages", hint });
  }
  const words = ["node", compiler, "build", "--as-file-descriptor-set", "--output", "-#format=binpb"];
  const run = { places: {}, folder: PROGRAM_FOLDER, timeoutMs: 60_000, maxBytes: 67_108_864, signal };
  const { failure, output } = await runTool({ words }, run);
  if (failure !== "") {
    const hint = "`npm test -- contracts` says more.";
    throw new StatorError("TOOL_UNUSABLE", { tool: "buf", detail: `refused the contracts: it ${failure}`, hint });
  }
  return output;
}
