import type { MessageInitShape } from "@bufbuild/protobuf";
import { type TransferScope, type TransferScopeSchema, BlockOrder as WireOrder } from "#gen/stator/common/v1/common_pb";
import type { BlockOrder, KvLayout } from "./layout.ts";

const WIRE_ORDERS: Readonly<Record<BlockOrder, WireOrder>> = {
  "layer-kind": WireOrder.LAYER_KIND,
  "kind-layer": WireOrder.KIND_LAYER,
};

/** A layout as others are told of it. */
export function printLayout(layout: KvLayout): MessageInitShape<typeof TransferScopeSchema> {
  return { ...layout, order: WIRE_ORDERS[layout.order] };
}

function readOrder(order: WireOrder): BlockOrder | undefined {
  switch (order) {
    case WireOrder.UNSPECIFIED:
    case WireOrder.LAYER_KIND:
      return "layer-kind";
    case WireOrder.KIND_LAYER:
      return "kind-layer";
    default:
      return undefined;
  }
}

/**
 * The layout that somebody tells of; undefined when this build does not know its order.
 * @param routingBlockTokens tokens of a block for routing: what an older build means that does not state its own
 */
export function parseLayout(scope: TransferScope, routingBlockTokens: number): KvLayout | undefined {
  const order = readOrder(scope.order);
  const { layers, blockTokens, keyRowBytes, valueRowBytes, elementType, engineFormat } = scope;
  const rows = { layers, keyRowBytes, valueRowBytes, elementType, engineFormat };
  return order && { ...rows, blockTokens: blockTokens || routingBlockTokens, order };
}
