import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";
import type { StatorError } from "#lib/base/errors";
import type { StepMetrics } from "#lib/engines/engine";
import type { WorkerChannel } from "#lib/link/link";
import { createService, type ServedService } from "#lib/rpc/service";
import { type LinkEndDeps, openLinkEnd } from "./link-end.ts";

/** All links of a worker. */
export interface Links {
  /** For the worker's gRPC server. */
  readonly service: ServedService;
  /** Open ones. */
  readonly size: number;
  /** Opens the worker's side of one link over a channel, which it takes; what the service does for each call. */
  open(channel: WorkerChannel, peer: string): void;
  /** Tells every caller. */
  notice(notice: { draining: boolean; modelsChanged: boolean; models: string[] }): void;
  /** Gives callers that got nothing from a step the load now and then. */
  load(metrics: StepMetrics): void;
  /** As `LinkEnd.freed`, to every caller. */
  freed(): void;
  /** Ends all links: in order, or with the reason why. */
  closeAll(error?: StatorError): void;
}

/** stator.worker.v1.WorkerLinkService over a board. */
export function createLinks(deps: LinkEndDeps): Links {
  const open = new Set<ReturnType<typeof openLinkEnd>>();
  const openLink = (channel: WorkerChannel, peer: string): void => {
    const end = openLinkEnd(deps, channel, () => open.delete(end));
    open.add(end);
    deps.log.debug("link opened", { peer });
  };
  return {
    service: createService(WorkerLinkService, {
      link: { open: (channel, call) => openLink(channel, call.peer.address) },
    }),
    open: openLink,
    get size() {
      return open.size;
    },
    notice(notice) {
      for (const { link } of open) link.notice(notice);
    },
    load(metrics) {
      for (const end of open) end.load(metrics);
    },
    freed() {
      for (const end of open) end.freed();
    },
    closeAll(error) {
      for (const { link } of [...open]) link.close(error);
    },
  };
}
