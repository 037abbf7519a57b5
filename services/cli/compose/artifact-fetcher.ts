import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import type { ArtifactService } from "#gen/stator/worker/v1/artifact_pb";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Client } from "#lib/rpc/client";
import type { FetchArtifact } from "#services/frontend/models/artifacts";

/** Largest artifact that is fetched: a vocabulary of a million tokens fits. */
export const MOST_ARTIFACT_BYTES = 64 * 1024 * 1024;
const FETCH_TIMEOUT_MS = 30_000;

/** Asks the holders one after the other, over sessions of their own: payloads never share one with a link. */
export function createArtifactFetcher(
  clientOf: (holder: InstanceRecord) => Client<typeof ArtifactService>,
): FetchArtifact {
  return async (digest, holders) => {
    let last = new StatorError("NO_WORKERS", { model: "its artifacts" });
    for (const holder of holders) {
      try {
        return await fetchFrom(clientOf(holder), digest);
      } catch (error) {
        last = asStatorError(error);
      }
    }
    throw last;
  };
}

async function fetchFrom(client: Client<typeof ArtifactService>, digest: Uint8Array): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const { data } of client.fetch({ digest }, { timeoutMs: FETCH_TIMEOUT_MS })) {
    size += data.byteLength;
    if (size > MOST_ARTIFACT_BYTES) throw new StatorError("LIMIT", { what: "An artifact", limit: MOST_ARTIFACT_BYTES });
    pieces.push(data);
  }
  return Buffer.concat(pieces, size);
}
