import { create } from "@bufbuild/protobuf";
import {
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  ModelCardSchema,
  ModelInput,
} from "#gen/stator/discovery/v1/discovery_pb";
import type { StatorError } from "#lib/base/errors";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import type { DispatcherOptions } from "#lib/dispatch/dispatcher";
import type { TensorPlace, TensorSink } from "#lib/dispatch/tensor-dispatcher";
import type { TensorWay } from "#lib/dispatch/tensor-way";
import type { SessionState } from "#lib/rpc/channel";
import type { Ask } from "#lib/serving/ask";
import { plainAsk } from "#lib/serving/plain-ask";
import { DispatchRig } from "./dispatch-rig.ts";

/** A way on which nothing travels: its session is as it was told. */
export class StillWay implements TensorWay {
  readonly target: string;
  openCalls = 0;
  closed = false;
  #tell: ((state: SessionState) => void) | undefined;

  constructor(target: string) {
    this.target = target;
  }

  watch(tell: (state: SessionState) => void): void {
    this.#tell = tell;
  }

  say(state: SessionState): void {
    this.#tell?.(state);
  }

  open(): never {
    throw new Error("nothing travels here");
  }

  openBytes(): never {
    throw new Error("nothing travels here");
  }

  unary(): never {
    throw new Error("nothing travels here");
  }

  close(): void {
    this.closed = true;
  }
}

/** Hears a request of tensors and keeps what it hears. */
export class TensorClient implements TensorSink {
  readonly places: TensorPlace[] = [];
  over: { readonly error: StatorError | undefined } | undefined;

  onPlaced(place: TensorPlace): void {
    this.places.push(place);
  }

  onOver(error: StatorError | undefined): void {
    if (this.over) throw new Error("it was over");
    this.over = { error };
  }
}

/** An ask of tensors with every default filled in. */
export function plainTensorAsk(changes: Partial<Ask<never>> = {}): Ask<never> {
  return {
    ...plainAsk({ prompts: [new Uint32Array(0)] }),
    route: "kserve",
    model: "simple",
    ...changes,
    kind: "tensor",
  };
}

/** A cluster with workers of tensors, whose ways are in `ways` by address, newest last. */
export class TensorRig extends DispatchRig {
  readonly ways: StillWay[];

  constructor(more: Pick<DispatcherOptions, "life" | "waitingRequests"> = {}) {
    const ways: StillWay[] = [];
    const dial = (address: string): TensorWay => {
      const way = new StillWay(address);
      ways.push(way);
      return way;
    };
    super("round-robin", { ...more, dial });
    this.ways = ways;
  }

  /** The last way to a worker. */
  way(id: bigint): StillWay {
    const way = this.ways.findLast(({ target }) => target === `tensors:${id}`);
    if (!way) throw new Error(`nobody dialled worker ${id}`);
    return way;
  }

  /** A worker of tensors says that it is in this state. */
  showTensor(
    id: bigint,
    state: InstanceState = InstanceState.READY,
    incarnation = 1n,
    inferenceAddress = `tensors:${id}`,
  ): void {
    const about = { instanceId: id, incarnation, role: InstanceRole.WORKER, state, models: ["simple"] };
    const instance = create(InstanceRecordSchema, { ...about, address: `own:${id}`, inferenceAddress });
    const card = create(ModelCardSchema, { name: "simple", instanceId: id, input: ModelInput.TENSOR });
    this.view.put({ key: instanceKey(id), value: { case: "instance", value: instance } });
    this.view.put({ key: modelKey("simple", id), value: { case: "model", value: card } });
    this.clock.settle();
  }

  /** The same, and its session stands. */
  addTensor(id: bigint): StillWay {
    this.showTensor(id);
    const way = this.way(id);
    way.say("ready");
    return way;
  }

  startTensor(changes: Partial<Ask<never>> = {}) {
    const client = new TensorClient();
    const handle = this.dispatcher.startTensor(plainTensorAsk(changes), client);
    if (client.places.length > 0 || client.over) throw new Error("it was told during the start");
    this.clock.settle();
    return { client, handle };
  }
}
