import type { ModelReadyRequest } from "#gen/inference/health_pb";
import { MODEL_VERSION } from "../doors/kserve/describe.ts";
import { isOfTensors, type ServerAbout } from "./about.ts";

/** Whether some request would be answered now. */
export function serverReady({ models, draining }: Pick<ServerAbout, "models" | "draining">): boolean {
  return !draining() && models.routable().length > 0;
}

/** Whether a request for this model and version, sent now, would be routed. False for one that nobody knows. */
export function modelReady(
  { models, draining }: Pick<ServerAbout, "models" | "draining">,
  { name, version }: Pick<ModelReadyRequest, "name" | "version">,
): boolean {
  if (draining() || !models.routable().includes(name)) return false;
  return version === "" || version === MODEL_VERSION || isOfTensors(models, name);
}
