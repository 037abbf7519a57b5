import { expect, test } from "vitest";
import { RouterService } from "#gen/stator/router/v1/router_pb";
import { viewBytes } from "#lib/base/bytes";
import { asStatorError } from "#lib/base/errors";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { createClient } from "#lib/rpc/client";
import { DirectTransport } from "#lib/rpc/direct";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { fleetWorker, promptOf, RoutingRig, routeAskOf } from "../../test/support/routing-rig.ts";
import { createRouterService, printRank, type RouterServiceParts } from "./router-service.ts";

function rig() {
  const routing = new RoutingRig([fleetWorker(1n, { taints: new Set(["zone=a"]) }), fleetWorker(2n)]);
  const view: RouterServiceParts["view"] = {
    ready: (name) => ({ name, model: name, parent: name === "wave" ? "m" : undefined, tokenizer: "t" }) as never,
  };
  const metrics = createMetrics([RPC_INSTRUMENTS], { processMetrics: false });
  const service = createRouterService({ router: routing.router, view, clock: systemClock, version: "test" });
  const client = createClient(
    RouterService,
    new DirectTransport([service], { clock: systemClock, log: silentLog, metrics }),
  );
  return { routing, client };
}

const prompt = promptOf(1, 20);
const about = (value: object) =>
  ({ about: { case: "prompt", value: { model: "m", tokenIds: viewBytes(prompt), ...value } } }) as const;
const reasonOf = (answer: Promise<unknown>) =>
  answer.then(
    () => "",
    (error: unknown) => asStatorError(error).reason,
  );

test("a request is explained by its id, and one that is not kept says how far back they go", async () => {
  const { routing, client } = rig();
  routing.store(2n, prompt);
  routing.place(routeAskOf(prompt, { requestId: "r7" }));
  const { explanations } = await client.explain({ about: { case: "requestId", value: "r7" } });
  expect(explanations).toMatchObject([
    { requestId: "r7", rule: "ttft", unit: "ms", decision: "ttft, 2 ms, 320 tokens cached, of 2", promptTokens: 321 },
  ]);
  expect(explanations[0]!.candidates).toMatchObject([
    {
      worker: 2n,
      deviceTokens: 320,
      terms: expect.arrayContaining([expect.objectContaining({ value: 1, counts: true })]),
    },
    { worker: 1n, deviceTokens: 0 },
  ]);
  expect(explanations[0]).toMatchObject({
    chosen: 0,
    runnerUp: 1,
    candidateCount: 2,
    predicted: { cachedTokens: 320 },
  });
  expect(await reasonOf(client.explain({ about: { case: "requestId", value: "r8" } }))).toBe("DECISION_NOT_KEPT");
  expect(await reasonOf(client.explain({}))).toBe("INVALID_ARGUMENT");
});

test("a prompt that is not sent is placed by what it wishes, and counts nowhere", async () => {
  const { routing, client } = rig();
  routing.store(2n, prompt);
  const chosen = async (value: object) => {
    const { candidates, chosen } = (await client.explain(about(value))).explanations[0]!;
    return candidates[chosen]!.worker;
  };
  expect(await chosen({})).toBe(2n);
  expect(await chosen({ requiredTaints: ["zone=a"] })).toBe(1n);
  expect(await chosen({ preferredTaints: [{ taint: "zone=a", weight: 100 }], cacheSalt: "other" })).toBe(1n);
  expect(routing.router.openChoices).toBe(0);
  const cached = async (value: object) =>
    (await client.explain(about(value))).explanations[0]!.candidates.map((each) => each.deviceTokens);
  expect(await cached({ cacheSalt: "other" })).toEqual([0, 0]);
  // The name of an adapter: what it computes is kept apart.
  expect(await cached({ model: "wave" })).toEqual([0, 0]);
  expect(await reasonOf(client.explain(about({ requiredTaints: ["zone=b"] })))).toBe("NO_WORKERS");
  expect(await reasonOf(client.explain(about({ tokenIds: new Uint8Array(3) })))).toBe("INVALID_ARGUMENT");
  expect(await reasonOf(client.explain(about({ session: "s".repeat(257) })))).toBe("INVALID_ARGUMENT");
});

test("a rank is told with what its index knows", () => {
  const { routing } = rig();
  routing.store(2n, prompt);
  const [rank] = routing.router.view(2n);
  expect(printRank(rank!)).toMatchObject({ rank: 0, rule: "ttft", indexedBlocks: 20n, timeFactor: 1, timedPasses: 0n });
});
