import { StatorError } from "#lib/base/errors";
import type { Ledger } from "#lib/serving/ledger";
import type { Models } from "../models/served.ts";

/** What the protocol's questions about a server and its models are answered from. All of it is borrowed. */
export interface ServerAbout {
  /** Who is served. */
  readonly models: Models;
  /** What was asked of them. */
  readonly ledger: Pick<Ledger, "model">;
  /** Whether the frontend takes no new requests. */
  readonly draining: () => boolean;
  /** What the server calls itself. */
  readonly name: string;
  /** Of this program. */
  readonly version: string;
  /** Names of the extensions that it speaks. */
  readonly extensions: readonly string[];
}

/** Extensions of the protocol that need nothing from elsewhere. */
export const EXTENSIONS: readonly string[] = [
  "model_repository",
  "schedule_policy",
  "model_configuration",
  "parameters",
  "statistics",
];

/** The version that every model here has: what serves a name is decided by who serves it now. */
export const ONLY_VERSION = "1";

/** Throws MODEL_NOT_FOUND for a version that no model has; empty leaves the choice to the server. */
export function checkVersion(name: string, version: string): void {
  if (version === "" || version === ONLY_VERSION) return;
  const hint = ` It has the version ${ONLY_VERSION} and no version ${version.slice(0, 32)}.`;
  throw new StatorError("MODEL_NOT_FOUND", { model: name.slice(0, 128), hint });
}
