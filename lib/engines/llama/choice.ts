/** A number that was chosen for somebody who did not say it. */
export interface Choice {
  /** In the unit of what was chosen. */
  readonly value: number;
  /** What decided it, as a phrase. */
  readonly why: string;
}
