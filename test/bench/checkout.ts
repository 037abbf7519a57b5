import { cpSync, rmSync } from "node:fs";
import path from "node:path";
import { type Checkout, type CheckoutPlace, openCommit } from "../support/commit.ts";

/**
 * Puts a commit beside this checkout and lays the benchmarks of this checkout over its own: the same code measures both.
 * What they take from `test/support` is the commit's, as it fits its product. Throws as `openCommit`.
 */
export function checkoutCommit(name: string, place: CheckoutPlace): Checkout {
  const checkout = openCommit(name, place);
  const benchmarks = path.join(checkout.root, "test/bench");
  rmSync(benchmarks, { recursive: true, force: true });
  cpSync(path.join(place.root, "test/bench"), benchmarks, { recursive: true });
  return checkout;
}
