import { ArtifactService } from "#gen/stator/worker/v1/artifact_pb";
import { equalBytes, printHex } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { EngineArtifact } from "#lib/engines/engine";
import { createService, type ServedService } from "#lib/rpc/service";

/** Bytes in one message of a fetch. */
const PIECE_BYTES = 256 * 1024;

/** stator.worker.v1.ArtifactService over what the engine's card names. */
export function createArtifactService(artifacts: () => readonly EngineArtifact[]): ServedService {
  return createService(ArtifactService, {
    async *fetch({ digest }) {
      const found = artifacts().find((artifact) => equalBytes(artifact.digest, digest));
      if (!found) throw new StatorError("NOT_FOUND", { what: `The artifact ${printHex(digest.subarray(0, 8))}…` });
      for (let at = 0; at < found.content.byteLength; at += PIECE_BYTES) {
        yield { data: found.content.subarray(at, at + PIECE_BYTES) };
      }
    },
  });
}
