import { expect, test } from "vitest";
import { workerContractOf } from "./worker-contract.ts";

test("a worker is spoken to over the link, unless openengine.v1 is all that it has", () => {
  const of = (...services: string[]) => workerContractOf({ services });
  const [link, inference] = ["stator.worker.v1.WorkerLinkService", "openengine.v1.Inference"];
  expect(of(inference, "openengine.v1.Control")).toBe("openengine");
  expect([of(inference, link), of(link), of(), of("stator.worker.v1.ArtifactService")]).toEqual(Array(4).fill("link"));
});
