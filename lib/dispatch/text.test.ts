import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { InstanceState, ModelCardSchema, ModelInput } from "#gen/stator/discovery/v1/discovery_pb";
import { FinishReason, StepSchema, type Submit } from "#gen/stator/worker/v1/link_pb";
import { modelKey } from "#lib/discovery/record-keys";
import type { WorkerLink } from "#lib/link/link";
import { openWorkerLink } from "#lib/link/worker-link";
import { plainAsk } from "#lib/serving/plain-ask";
import { Client, DispatchRig } from "../../test/support/dispatch-rig.ts";

/** A worker whose engine takes text and says what the test says. */
function addTextWorker(cluster: DispatchRig, id: bigint) {
  const submits: Submit[] = [];
  let link: WorkerLink | undefined;
  cluster.workers.set(id, {
    serve(channel) {
      link = openWorkerLink(channel, {
        clock: cluster.clock,
        introduce: () => ({
          ...{ instanceId: id, incarnation: 1n, models: ["m"], maxRunningRequests: 0, maxWaitingRequests: 0 },
          ...{ totalKvBlocks: 0n, ranks: 1, features: [], draining: false },
        }),
        sink: {
          onSubmit(submit) {
            submits.push(submit);
            return { cachedTokens: 0, queuedAhead: 0 };
          },
          onCancel() {},
          onEnd() {},
        },
      });
      return link;
    },
    openRequests: 0,
    taken: 0,
  });
  cluster.wires.set(id, []);
  const card = create(ModelCardSchema, { name: "m", instanceId: id, input: ModelInput.TEXT });
  cluster.show(id, InstanceState.READY);
  cluster.view.put({ key: modelKey("m", id), value: { case: "model", value: card } });
  cluster.clock.settle();
  const say = (...parts: (readonly [choice: number, text: string])[]) => {
    const texts = parts.map(([choice, text]) => ({ handle: submits[choice]!.handle, text }));
    link?.step(create(StepSchema, { step: 1n, durationUs: 1, texts }));
    cluster.clock.settle();
  };
  const end = (choice: number, numbers: { promptTokens: number; completionTokens: number }) => {
    const finish = { handle: submits[choice]!.handle, reason: FinishReason.END, ...numbers };
    link?.step(create(StepSchema, { finishes: [finish] }));
    cluster.clock.settle();
  };
  return { submits, say, end };
}

class Listener extends Client {
  readonly texts: string[] = ["", ""];
  onText(choice: number, text: string): void {
    this.texts[choice] += text;
  }
}

const ask = (...texts: string[]) => ({ ...plainAsk(), input: { kind: "text", texts } }) as const;

it("text goes to workers that take it, and theirs comes back, with what they counted", () => {
  const cluster = new DispatchRig();
  const worker = addTextWorker(cluster, 1n);
  const listener = new Listener();
  cluster.dispatcher.start(ask("Once", "upon"), listener);
  cluster.clock.settle();
  expect(worker.submits.map(({ promptText, promptTokenIds }) => [promptText, promptTokenIds.length])).toEqual([
    ["Once", 0],
    ["upon", 0],
  ]);
  worker.say([0, " a"], [1, " the"]);
  worker.say([0, " time"]);
  worker.end(0, { promptTokens: 1, completionTokens: 2 });
  worker.end(1, { promptTokens: 2, completionTokens: 5 });
  expect(listener.texts).toEqual([" a time", " the"]);
  expect(listener.ends.map(({ reason }) => reason)).toEqual(["end", "end"]);
  expect(listener.usage).toMatchObject({ promptTokens: 3, completionTokens: 7 });
});

it("an answer of which something was told is lost with its worker", () => {
  const cluster = new DispatchRig();
  const worker = addTextWorker(cluster, 1n);
  const listener = new Listener();
  cluster.dispatcher.start(ask("Once"), listener);
  cluster.clock.settle();
  worker.say([0, " a"]);
  cluster.kill(1n);
  expect([listener.texts[0], listener.error?.reason]).toEqual([" a", "STREAM_LOST"]);
});

it("token ids for such a worker, and whoever hears no text, are told so", () => {
  const cluster = new DispatchRig();
  const worker = addTextWorker(cluster, 1n);
  expect(() => cluster.start()).toThrow(/^Token ids for a worker is not available/);
  const deaf = new Client();
  cluster.dispatcher.start(ask("Once"), deaf);
  cluster.clock.settle();
  worker.say([0, " a"]);
  expect(deaf.error?.reason).toBe("UNSUPPORTED_FEATURE");
});
