import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { compareContracts } from "#lib/contract/compare";
import { readImage } from "#lib/contract/contract";
import { printBreaks } from "#lib/contract/verdict-report";
import { type Outcome, root, runTool } from "../run-tool.ts";
import { inTemporaryFolder } from "../temporary-folder.ts";

const folder = path.join(root, "test/contract");

/** Image of the contract that was accepted last. */
export const acceptedImage = path.join(folder, "accepted.binpb");

/** Version and commit of each release, oldest first, from which its programs are built again. */
export const RELEASES = path.join(folder, "released/releases.json");

/** Image that a release keeps for ever. */
export function releasedImage(version: string): string {
  return path.join(folder, "released", `${version}.binpb`);
}

/** Every image that a change must stay compatible with: the accepted one and one per release. */
export function keptImages(): string[] {
  const released = path.join(folder, "released");
  const names = existsSync(released) ? readdirSync(released).filter((name) => name.endsWith(".binpb")) : [];
  return [acceptedImage, ...names.sort().map((name) => path.join(released, name))];
}

/** Style of the contracts; the output has one complaint per line. */
export function lintContracts(): Outcome {
  return runTool("buf", ["lint"], { capture: true });
}

/** Layout of the contracts; the output is the difference to what `npm run fix` would write. */
export function checkContractFormat(): Outcome {
  return runTool("buf", ["format", "--diff", "--exit-code"], { capture: true });
}

/**
 * Compiles a tree that has a buf.yaml into an image without comments. `imageFile` ends with .binpb; the tree is the
 * checkout unless `cwd` names another. Throws with buf's words when it does not compile.
 */
export function buildImage(imageFile: string, cwd: string = root): void {
  mkdirSync(path.dirname(imageFile), { recursive: true });
  const { ok, output } = runTool("buf", ["build", "--exclude-source-info", "-o", imageFile], { capture: true, cwd });
  if (!ok) throw new Error(`The contracts do not compile:\n${output}`);
}

/**
 * Compares a newer image with an older one, by the rules WIRE_JSON; the output has one line per break and names the
 * element. Images, because a workspace of two modules compared with an image reports files of one module as deleted
 * from the other.
 */
export function compareImages(now: string, before: string): Outcome {
  return inTemporaryFolder((work) => {
    const rules = path.join(work, "buf.yaml");
    writeFileSync(rules, "version: v2\nbreaking:\n  use: [WIRE_JSON]\n");
    return runTool("buf", ["breaking", now, "--against", before, "--config", rules], { capture: true, cwd: work });
  });
}

/** The same in words: what breaks programs or readers of JSON, whom, and what to do. Empty where nothing does. */
export function explainBreaks(now: string, before: string): string {
  const [older, newer] = [before, now].map((file) => readImage(readFileSync(file), file));
  return printBreaks(compareContracts(older!, newer!), ["servers", "json"]);
}

/** Compares the checkout's contracts with every kept image: what buf refuses is refused, and so is what we know beyond it. */
export function checkCompatibility(): Outcome {
  return inTemporaryFolder((work) => {
    const now = path.join(work, "now.binpb");
    buildImage(now);
    const breaks = keptImages().flatMap((before) => {
      const { ok, output } = compareImages(now, before);
      const words = explainBreaks(now, before);
      return ok && words === "" ? [] : [`Not compatible with ${path.relative(root, before)}:\n${words}\n\n${output}`];
    });
    return { ok: breaks.length === 0, output: breaks.join("\n") };
  });
}
