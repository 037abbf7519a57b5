import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RepositoryIndexRequest, RepositoryIndexResponseSchema } from "#gen/inference/repository_pb";
import type { AwayModel } from "#lib/api/openai/bodies";
import { StatorError } from "#lib/base/errors";
import { MODEL_VERSION } from "../doors/kserve/describe.ts";
import type { ServerAbout } from "./about.ts";

const STATES: Readonly<Record<AwayModel["state"], "LOADING" | "UNAVAILABLE" | "UNLOADING">> = {
  loading: "LOADING",
  connecting: "UNAVAILABLE",
  draining: "UNLOADING",
  asleep: "UNAVAILABLE",
  failed: "UNAVAILABLE",
};

/**
 * Which models there are, those that answer first and each kind in order of name; `ready` asks for those alone. Throws
 * UNSUPPORTED_FEATURE for a repository by name: models come from workers, and there is one list of them.
 */
export function repositoryIndex(
  { models }: Pick<ServerAbout, "models">,
  { repositoryName, ready }: Pick<RepositoryIndexRequest, "repositoryName" | "ready">,
): MessageInitShape<typeof RepositoryIndexResponseSchema> {
  if (repositoryName !== "") {
    const detail = "models come from workers, and repository_name is to be empty";
    throw new StatorError("UNSUPPORTED_FEATURE", { feature: "A repository by name", detail });
  }
  const { listed, away } = models.list();
  const version = MODEL_VERSION;
  const answering = listed.map(({ id: name }) => ({ name, version, state: "READY", reason: "" }));
  const others = away.map(({ id: name, state, reason }) => ({ name, version, state: STATES[state], reason }));
  return { models: ready ? answering : [...answering, ...others] };
}
