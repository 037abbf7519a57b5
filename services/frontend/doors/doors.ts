import { HOSTED_READ_ROUTES } from "#lib/api/kserve/routes";
import { type ApiRoute, READ_ROUTES } from "#lib/api/routes";
import { OPERATIONS } from "../inference/operation-table.ts";
import { CHAT } from "./chat/door.ts";
import { COMPLETIONS } from "./completions/door.ts";
import type { DoorReader, HttpDoor } from "./door.ts";
import { EMBEDDINGS } from "./embeddings/door.ts";
import { GENERATE } from "./generate/door.ts";
import { GENERATE_STREAM } from "./generate-stream/door.ts";
import { HOSTED } from "./hosted/doors.ts";
import { INFER } from "./infer/door.ts";

/** Every door of the HTTP port, by the folder of each. `docs/a-new-door.md` makes one. */
export const DOORS: readonly HttpDoor<unknown>[] = [
  ...[CHAT, COMPLETIONS, EMBEDDINGS],
  ...([INFER, GENERATE, GENERATE_STREAM] as readonly HttpDoor<unknown>[]),
  ...HOSTED,
];

/** Every route of a port with these doors, for its document. */
export function documentedRoutes(doors: readonly HttpDoor<unknown>[]): readonly ApiRoute[] {
  return [...doors.map(({ api }) => api), ...READ_ROUTES, ...HOSTED_READ_ROUTES, ...OPERATIONS.map(({ api }) => api)];
}

/** What reads the bodies of these doors. */
export function readersOf(doors: readonly HttpDoor<unknown>[]): readonly DoorReader<unknown>[] {
  return doors.map(({ reader }) => reader);
}
