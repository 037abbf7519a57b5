import { HOSTED_READ_ROUTES } from "#lib/api/kserve/routes";
import { type ApiRoute, READ_ROUTES } from "#lib/api/routes";
import type { HttpDoor } from "./doors/door.ts";
import { OPERATIONS } from "./inference/operation-table.ts";

/** Every route of a port with these doors, for its document. */
export function documentedRoutes(doors: readonly HttpDoor<unknown>[]): readonly ApiRoute[] {
  return [...doors.map(({ api }) => api), ...READ_ROUTES, ...HOSTED_READ_ROUTES, ...OPERATIONS.map(({ api }) => api)];
}
