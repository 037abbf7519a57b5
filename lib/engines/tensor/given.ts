import type { Datatype } from "#lib/api/kserve/datatypes";
import type { GivenTensor } from "./model.ts";
import { readValues, type ValuesOf } from "./values.ts";

/** A tensor of a request: its values are made at the first look. */
export class GivenBytes implements GivenTensor {
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
  #values: ValuesOf<Datatype> | undefined;

  constructor(datatype: Datatype, shape: readonly number[], data: Uint8Array) {
    this.datatype = datatype;
    this.shape = shape;
    this.data = data;
  }

  get values(): ValuesOf<Datatype> {
    this.#values ??= readValues(this.datatype, this.data);
    return this.#values;
  }
}
