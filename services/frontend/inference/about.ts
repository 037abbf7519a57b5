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

/** Whether a model that is known takes tensors: then its versions are its own. */
export function isOfTensors(models: Models, name: string): boolean {
  const { listed, away } = models.list();
  return [...listed, ...away].some(({ id, tensors }) => id === name && tensors === true);
}
