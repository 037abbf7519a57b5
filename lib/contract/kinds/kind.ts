import type { Effect } from "../verdict.ts";

/** Where a change stands in a changelog. */
export type Section = "added" | "changed" | "deprecated" | "removed";

/** What is said of one kind of difference. Texts have the facts of the difference in braces. */
export interface Kind {
  /** Where it stands in a changelog. */
  readonly section: Section;
  /** One sentence: what is different now. */
  readonly what: string;
  /**
   * `data`: of what is written and read; who reads it decides which servers it breaks, so that `forward` is what old readers
   * make of new bytes and `backward` what new readers make of old ones. `calls`: of what is called, so that `forward` is new
   * callers on old servers and `backward` old callers on new servers.
   */
  readonly of: "data" | "calls";
  /** The new side towards the old one. */
  readonly forward: Effect;
  /** The old side towards the new one. */
  readonly backward: Effect;
  /** Whoever reads or writes the JSON form, on either side. */
  readonly json: Effect;
  /** Code over stubs that are generated again. */
  readonly stubs: Effect;
  /** What to do, as a sentence. Empty where nothing is to be done. */
  readonly todo: string;
  /** Rules of buf that can refuse it; a difference may name fewer. */
  readonly rules: readonly string[];
}

/** What an addition has in common: nobody has to follow. */
export const ADDITION = { section: "added", todo: "", rules: [] } as const;

/** Rules of buf that refuse another type of a field. */
export const TYPE_RULES = ["FIELD_SAME_TYPE", "FIELD_WIRE_COMPATIBLE_TYPE", "FIELD_WIRE_JSON_COMPATIBLE_TYPE"] as const;

/** What to do in place of another type. */
export const NEW_FIELD =
  "Add a field with a number and a name of its own, fill both for two minor versions, then deprecate the old one.";
