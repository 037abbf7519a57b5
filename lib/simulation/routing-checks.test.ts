import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { assert } from "#lib/base/errors";
import { type MockModel, readMockModel } from "#lib/engines/mock/mock-engine";
import { plainAsk } from "#lib/serving/plain-ask";
import type { SimulatedFrontend } from "./frontend.ts";
import { checkRouting } from "./routing-checks.ts";
import type { SimulatedWorker } from "./worker.ts";
import { World } from "./world.ts";

describe("the checks of routing", () => {
  let model: MockModel;
  let world: World;
  let frontend: SimulatedFrontend;
  let worker: SimulatedWorker;

  beforeAll(async () => {
    model = await readMockModel(fileURLToPath(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url)));
    world = calmWorld();
    await world.pass(3_000);
    [frontend] = world.livingFrontends as [SimulatedFrontend];
    for (let requests = 0; requests < 12; requests++) {
      world.send(frontend);
      await world.pass(200);
    }
    await world.pass(30_000);
    const [found] = world.livingWorkers.filter(({ blocks }) => blocks.size > 0);
    assert(found, "some worker has blocks");
    worker = found;
  });

  /** A world in which nothing goes wrong and prefixes decide. */
  function calmWorld(): World {
    for (let seed = 0; ; seed += 8) {
      const found = new World(seed, { model });
      const { mode, rule, followsEvents } = found.routing;
      if (mode === "kv" && rule === "ttft" && followsEvents) return found;
    }
  }

  it("have nothing against a router that knows what there is", () => {
    expect(checkRouting(world)).toEqual([]);
  });

  it("find a block that is not in the index, one that is not there any more, and what is foreseen of it", () => {
    worker.blocks.add(5n);
    expect(checkRouting(world)).toContainEqual(expect.stringMatching(/it lacks 1, and it has 0 that are not there/));
    worker.blocks.delete(5n);
    const all = [...worker.blocks];
    worker.blocks.clear();
    const wrong = checkRouting(world);
    expect(wrong).toContainEqual(expect.stringMatching(`it lacks 0, and it has ${all.length} that are not there`));
    expect(wrong).toContainEqual(expect.stringMatching(/entries, and the workers that are there/));
    for (const hash of all) worker.blocks.add(hash);
  });

  it("find a rank that is not caught up with", () => {
    const sink = frontend.dispatcher!.router.sink(worker.plan.instanceId, 0);
    sink.know({ state: "recovering", reason: "Said so.", lagMs: 1, behind: 2 });
    expect(checkRouting(world).map((line) => line.replace(/^.*?: /, ""))).toEqual([
      `what it knows of ${worker.name} is recovering`,
      `it is 2 events behind ${worker.name}`,
      expect.stringMatching(/^it knows \d ranks of \d$/),
    ]);
    sink.know({ state: "live", reason: "", lagMs: 1, behind: 0 });
  });

  it("find what is counted for nobody", () => {
    const { router } = frontend.dispatcher!;
    const target = { worker: worker.plan.instanceId, rank: undefined };
    const { requestId, kind, model: name, input, choicesPerPrompt, wishes } = plainAsk({ tokenizer: world.tokenizer });
    const ticket = router.place(
      {
        ...{
          requestId,
          kind,
          model: name,
          prompts: input.prompts,
          tokenizer: input.tokenizer,
          choicesPerPrompt,
          target,
        },
        ...{ adapter: undefined, texts: [], choices: [0], salt: "", priority: 0, deadlineMs: undefined },
        ...{ weights: undefined, avoid: new Set<bigint>(), isNew: true, ...wishes, session: "s" },
      },
      () => {},
    );
    const wrong = checkRouting(world);
    for (const what of [
      "openChoices is 1",
      "openReservations is 1",
      "openSessionRequests is 1",
      "1 requests, 3 tokens",
    ]) {
      expect(wrong).toContainEqual(expect.stringContaining(what));
    }
    ticket.cancel();
    expect(checkRouting(world)).toEqual([]);
  });
});
