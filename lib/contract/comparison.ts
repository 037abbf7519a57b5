import { StatorError } from "#lib/base/errors";
import { type Contract, type Element, packageOf } from "./contract.ts";
import { type Difference, describe, type Found } from "./difference.ts";
import type { ContractLimits } from "./limits.ts";
import type { Pairing } from "./pairing.ts";
import type { ReachOf } from "./reach.ts";

/** One comparison while it runs: what is known of both sides, and what was found so far. */
export class Comparison {
  readonly before: Contract;
  readonly after: Contract;
  readonly pairing: Pairing;
  readonly differences: Difference[] = [];
  readonly #reachOf: ReachOf;
  readonly #limits: ContractLimits;

  constructor(
    sides: { readonly before: Contract; readonly after: Contract; readonly pairing: Pairing },
    reachOf: ReachOf,
    limits: ContractLimits,
  ) {
    this.before = sides.before;
    this.after = sides.after;
    this.pairing = sides.pairing;
    this.#reachOf = reachOf;
    this.#limits = limits;
  }

  /** Keeps a difference. Throws LIMIT where there are too many to be of use. */
  add(found: Found): void {
    if (this.differences.length >= this.#limits.differences) {
      const { differences: limit } = this.#limits;
      throw new StatorError("LIMIT", { what: "The comparison, in differences,", limit });
    }
    this.differences.push(describe(found));
  }

  /** The same of a message or an enum and of what is in it: who reads it is looked up, and `part` is named after it. */
  addOf(element: Element, found: Pick<Found, "kind" | "facts" | "rules"> & { readonly part?: string }): void {
    const { part, ...rest } = found;
    this.add({
      ...rest,
      element: part === undefined ? element.typeName : `${element.typeName}.${part}`,
      file: element.file.proto.name,
      package: packageOf(element),
      ...((element.kind === "message" || element.kind === "enum") && { reach: this.#reachOf(element.typeName) }),
    });
  }
}
