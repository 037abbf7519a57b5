import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { CapturedRow } from "#services/cli/capture/row";
import type { Cluster } from "./cluster.ts";
import { type ConversationsOptions, holdConversations } from "./conversations.ts";
import { readBoard } from "./program.ts";

type Load = Omit<ConversationsOptions, "address" | "model">;

/** What is captured, and where. */
export interface CaptureConversationsOptions {
  /** Arguments of `stator up`. */
  readonly up: readonly string[];
  /** Conversations that are held before anybody captures: then it is known how fast workers are. */
  readonly warmUp?: Load;
  /** Conversations that are captured. */
  readonly load: Load;
  /** The trace, which is not there yet. */
  readonly file: string;
}

/** Holds conversations with a cluster of their own and captures all of them; returns the rows. The cluster has ended then. */
export async function captureConversations(
  cluster: Cluster,
  { up, warmUp, load, file }: CaptureConversationsOptions,
): Promise<readonly CapturedRow[]> {
  const served = cluster.start(["up", "--http-port", "0", ...up]);
  await served.until(/Try it:/, 120_000);
  const { address } = readBoard(served).get("frontend")!;
  const { data } = (await (await fetch(`http://${address}/v1/models`)).json()) as { data: { id: string }[] };
  const about = { address, model: data[0]!.id };
  if (warmUp) await holdConversations({ ...warmUp, ...about });
  const captor = cluster.start(["capture", "--http-port", address.split(":").at(-1)!, "--out", file]);
  await captor.until(/Capturing/);
  await holdConversations({ ...load, ...about });
  captor.signal("SIGINT");
  expect(await captor.ended).toMatchObject({ code: 0 });
  await served.close();
  const lines = readFileSync(file, "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as CapturedRow);
}
