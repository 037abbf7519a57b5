import { convertible } from "#lib/kv/layout";
import type { FleetWorker } from "../fleet.ts";

/**
 * What keeps blocks of one worker from being handed to another, as the name of a field of their cards; undefined when they can
 * be: of equal weights, named alike, and in rows that can be put in the other's order.
 */
export function misfit(from: FleetWorker, to: FleetWorker): string | undefined {
  if (from.weights !== to.weights) return "weights";
  if (from.kv === undefined || to.kv === undefined) return from.kv === to.kv ? undefined : "transfer";
  if (from.kv.hashScheme !== to.kv.hashScheme) return "routing.hash_scheme";
  if (from.kv.layout === undefined || to.kv.layout === undefined) return "transfer.order";
  const field = convertible(from.kv.layout, to.kv.layout);
  return field && `transfer.${field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
}
