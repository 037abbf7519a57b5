import type { RouteAnswer, RouteAsk } from "./router.ts";

/** Nobody can take an ask now. */
export type Unplaced = Extract<RouteAnswer, { kind: "unplaced" }>;

/** Workers that could take an ask now, in a stable order, with the word for their weights; at least one, or why none. */
export type Locate = (ask: RouteAsk) => ReadonlyMap<bigint, string> | Unplaced;
