/** A number that was chosen for somebody who did not say it. */
export interface Choice {
  readonly value: number;
  /** What decided it, as a phrase. */
  readonly why: string;
}
