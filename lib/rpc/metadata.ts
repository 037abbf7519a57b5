/** Text headers of a call. Names are lower case; binary headers (`-bin`) are not shown. */
export interface Metadata {
  /** The first value of a name. */
  get(name: string): string | undefined;
  /** All values of a name in order. Over HTTP/1.1 repeated headers arrive joined by ", " as one. */
  all(name: string): readonly string[];
}

/** Text headers to send, by lower-case name. */
export type MetadataInit = Readonly<Record<string, string>>;

/** Metadata with nothing in it. */
export const noMetadata: Metadata = { get: () => undefined, all: () => [] };

/** Metadata over a plain record. Borrows it. */
export function metadataOf(values: MetadataInit): Metadata {
  return {
    get: (name) => values[name],
    all: (name) => {
      const value = values[name];
      return value === undefined ? [] : [value];
    },
  };
}
