import { ArtifactService } from "#gen/stator/worker/v1/artifact_pb";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { createClient } from "#lib/rpc/client";
import { readCredentials } from "#lib/rpc/options";
import { Artifacts } from "#services/frontend/models/artifacts";
import type { TextArtifacts } from "#services/frontend/tokenize/open-text";
import type { CommandContext } from "../command.ts";
import { askFrontend } from "../operators.ts";
import { createArtifactFetcher, MOST_ARTIFACT_BYTES } from "./artifact-fetcher.ts";

/**
 * What the text of a model in a running cluster is made with: a frontend tells which it is, a worker gives it, and its
 * digest is checked. Throws MODEL_NOT_FOUND, UNSUPPORTED_FEATURE where only the workers have it, and UNAVAILABLE.
 */
export async function fetchClusterText(model: string, context: CommandContext): Promise<TextArtifacts> {
  const { tokenizer, template, holders, markersInContent } = await findText(model, context);
  const credentials = readCredentials(context.values, systemClock);
  const fetch = createArtifactFetcher(({ address }) => {
    const channel = new Channel(address, credentials, systemClock);
    context.scope.own("channel", channel);
    return createClient(ArtifactService, channel);
  });
  const artifacts = new Artifacts(fetch, MOST_ARTIFACT_BYTES);
  const source = template && (await artifacts.get(template.digest, holders));
  return {
    tokenizer: await artifacts.get(tokenizer?.digest ?? new Uint8Array(), holders),
    tokenizerFormat: tokenizer?.format ?? "",
    template: source && new TextDecoder().decode(source),
    markersInContent,
  };
}

async function findText(model: string, { values }: CommandContext) {
  try {
    return await askFrontend(values, (frontend, options) => frontend.findText({ model }, options));
  } catch (error) {
    if (!(error instanceof StatorError) || error.reason !== "UNAVAILABLE") throw error;
    const { what, detail } = error.facts;
    const both = `there is no file ${model}, and only a frontend knows a model of that name; ${detail}`;
    throw new StatorError("UNAVAILABLE", { what, detail: both }, { cause: error });
  }
}
