import { choice, type Options } from "#lib/base/option";
import { ROUTER_MODES } from "./select.ts";

/** What is decided of routing. */
export const ROUTING_OPTIONS = {
  "router.mode": choice({
    initial: "power-of-two",
    choices: ROUTER_MODES,
    placeholder: "NAME",
    doc: "How a worker is chosen for a request that names none.",
    alike: "--router-mode",
  }),
} as const satisfies Options;
