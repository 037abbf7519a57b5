/** What came of it, in the words of none. */
export interface DoorAnswer {
  /** Text of each choice. */
  readonly texts: string[];
  /** stop or length; undefined when a choice was told no end. */
  readonly finishes: (string | undefined)[];
  /** Tokens of the answer; undefined when nobody said. */
  readonly tokens: number | undefined;
  /** Code of the error. */
  readonly error: string | undefined;
}
