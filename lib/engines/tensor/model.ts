import type { Datatype } from "#lib/api/kserve/datatypes";
import type { ValuesOf } from "./values.ts";

/** One tensor that a model takes or gives. */
export interface TensorSpec<Type extends Datatype = Datatype> {
  /** Of its elements. */
  readonly datatype: Type;
  /** Every dimension, that of the batch included; -1 for one that varies. At most 16. */
  readonly shape: readonly number[];
  /** An input that may be left out; false unless given. */
  readonly optional?: boolean;
}

/** The tensors of one side of a model by their names, in their order. */
export type TensorSpecs = Readonly<Record<string, TensorSpec>>;

/** A tensor that a request brings, checked against its spec. */
export interface GivenTensor<Type extends Datatype = Datatype> {
  /** As the spec has it. */
  readonly datatype: Type;
  /** Every dimension. */
  readonly shape: readonly number[];
  /** Its elements, little-endian and row-major; BYTES with a length of 4 bytes before each. Borrowed: read only. */
  readonly data: Uint8Array;
  /** Its elements, row-major, made at the first look: a view of `data` where that is aligned. */
  readonly values: ValuesOf<Type>;
}

/**
 * A tensor that a model made: its values, or its elements as bytes, such as a given tensor that is handed back. It is the
 * server's from then on.
 */
export type MadeTensor<Type extends Datatype = Datatype> =
  | { readonly shape: readonly number[]; readonly data: Uint8Array }
  | { readonly shape: readonly number[]; readonly values: ValuesOf<Type>; readonly data?: undefined };

/** What a request brings: every input that is not optional. */
export type Given<Inputs extends TensorSpecs> = {
  readonly [Name in keyof Inputs]:
    | GivenTensor<Inputs[Name]["datatype"]>
    | (Inputs[Name] extends { readonly optional: true } ? undefined : never);
};

/** What a model answers: each of its outputs. */
export type Made<Outputs extends TensorSpecs> = {
  readonly [Name in keyof Outputs]: MadeTensor<Outputs[Name]["datatype"]>;
};

/** A value beside the tensors: whole numbers of 64 bits are bigint. */
export type TensorParameter = boolean | number | bigint | string;

/** What a model knows of the request that it answers. */
export interface TensorCall {
  /** The client's own name for it; empty where it gave none. */
  readonly id: string;
  /** Those that the protocol does not keep for itself. */
  readonly parameters: Readonly<Record<string, TensorParameter>>;
  /** Names of the outputs that are wanted, all of them where the client named none. The others may be left out. */
  readonly wanted: readonly string[];
  /** Aborts when nobody waits for the answer any more: the client left, its time is up, or the worker ends. */
  readonly signal: AbortSignal;
  /** Resolves after so long; rejects with the reason of the signal when that aborts before. */
  wait(ms: number): Promise<void>;
  /** Throws what tells the client that his request is wrong: INVALID_ARGUMENT with these words, without a full stop. */
  refuse(detail: string): never;
}

/** What every model of tensors is. */
interface TensorModelBase<Inputs extends TensorSpecs, Outputs extends TensorSpecs> {
  /** In requests; a worker may serve it under another. Letters, digits and ._- */
  readonly name: string;
  /** Whole number from 1; 1 unless given. */
  readonly version?: number;
  /** What computes it, for people; stator unless given. */
  readonly platform?: string;
  /**
   * The first dimension of every tensor is that of a batch: so many rows at most, the same number in all inputs. 0 unless
   * given: there is no such dimension.
   */
  readonly maxBatch?: number;
  /** What it takes. */
  readonly inputs: Inputs;
  /** What it gives. */
  readonly outputs: Outputs;
  /** Makes it ready, before the first request; what it throws is why the worker does not serve it. */
  open?(): Promise<void> | void;
  /** Gives back what `open` took, after the last request; one that goes on although its signal aborted may still run. */
  close?(): Promise<void> | void;
}

/** A model that answers each request once. What it throws but by `refuse` is told to the client as its failure, without its words. */
export interface PlainTensorModel<Inputs extends TensorSpecs = TensorSpecs, Outputs extends TensorSpecs = TensorSpecs>
  extends TensorModelBase<Inputs, Outputs> {
  /** Answers one request; several may run at once. */
  infer(inputs: Given<Inputs>, call: TensorCall): Promise<Made<Outputs>> | Made<Outputs>;
  /** There is none: a model has one of both. */
  readonly stream?: undefined;
}

/** A decoupled model: it answers each request any number of times, and is called on a stream alone. */
export interface DecoupledTensorModel<
  Inputs extends TensorSpecs = TensorSpecs,
  Outputs extends TensorSpecs = TensorSpecs,
> extends TensorModelBase<Inputs, Outputs> {
  /** Answers one request; the next answer is asked for when the client has read those before. */
  stream(inputs: Given<Inputs>, call: TensorCall): AsyncIterable<Made<Outputs>> | Iterable<Made<Outputs>>;
  /** There is none: a model has one of both. */
  readonly infer?: undefined;
}

/** Tensors in, tensors out: what a user writes to serve a model of his own. */
export type TensorModel<Inputs extends TensorSpecs = TensorSpecs, Outputs extends TensorSpecs = TensorSpecs> =
  | PlainTensorModel<Inputs, Outputs>
  | DecoupledTensorModel<Inputs, Outputs>;

/** The model itself, with the types of what it is given and makes taken from its specs. */
export function defineTensorModel<const Inputs extends TensorSpecs, const Outputs extends TensorSpecs>(
  model: PlainTensorModel<Inputs, Outputs>,
): PlainTensorModel<Inputs, Outputs>;
export function defineTensorModel<const Inputs extends TensorSpecs, const Outputs extends TensorSpecs>(
  model: DecoupledTensorModel<Inputs, Outputs>,
): DecoupledTensorModel<Inputs, Outputs>;
export function defineTensorModel(model: TensorModel): TensorModel {
  return model;
}
