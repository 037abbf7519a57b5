import { type Chance, pick } from "#lib/base/chance";
import { BYPASS_NAMES } from "#lib/routing/legs/bypass";
import type { Disaggregation } from "#lib/routing/legs/disaggregation";
import { AFFINITIES, type Affinity, ROUTER_MODES, type RouterMode } from "#lib/routing/options";
import { RULE_NAMES, type RuleName } from "#lib/routing/rules/table";

/** How all frontends of a world choose workers. */
export interface RoutingPlan {
  /** Every one but `direct`, which takes no request that names no worker. */
  readonly mode: RouterMode;
  /** Of the mode kv: every one of the table but `direct`. */
  readonly rule: RuleName;
  /** Workers tell of their caches. */
  readonly followsEvents: boolean;
  /** How a session holds on to its worker. */
  readonly affinity: Affinity;
  /** Fewer sessions than there are, so that some are forgotten. */
  readonly limits: { readonly sessions: number };
  /** How answers are split where workers for prompts are there. */
  readonly split: Pick<Disaggregation, "bypass" | "enforce" | "bootstrap">;
}

/** Two of three worlds go by what workers hold, and of those one in eight without hearing of it. */
export function drawRouting(chance: Chance, { mayEnforce }: { readonly mayEnforce: boolean }): RoutingPlan {
  const drawn = <Thing>(all: readonly Thing[]): Thing => all[pick(chance, all.length)]!;
  return {
    mode: pick(chance, 3) > 0 ? "kv" : drawn(ROUTER_MODES.filter((mode) => mode !== "direct" && mode !== "kv")),
    rule: drawn(RULE_NAMES.filter((rule) => rule !== "direct")),
    followsEvents: pick(chance, 8) > 0,
    affinity: drawn(AFFINITIES),
    limits: { sessions: 4 },
    split: {
      bypass: pick(chance, 2) === 0 ? "none" : drawn(BYPASS_NAMES),
      enforce: mayEnforce && pick(chance, 4) === 0,
      bootstrap: pick(chance, 2) === 0,
    },
  };
}
