import type { Leg, RouteAnswer, RouteAsk } from "./router.ts";

/** Nobody can take an ask now. */
export type Unplaced = Extract<RouteAnswer, { kind: "unplaced" }>;

/**
 * Workers that could take a leg of an ask now, in a stable order, with the word for their weights; at least one, or why
 * none. Without a leg: all of it. Of an ask that names its worker no other can take anything.
 */
export type Locate = (ask: RouteAsk, leg?: Leg) => ReadonlyMap<bigint, string> | Unplaced;
