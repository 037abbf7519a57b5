import { printId } from "#lib/base/bytes";
import type { NativeAddon } from "#lib/native/addon";
import { probeNixl } from "#lib/native/nixl";
import type { openNativeMover } from "#lib/native/transfer";
import type { NixlAgent } from "#lib/transfer/nixl";
import type { ProcessContext } from "../command.ts";
import type { ServiceProcess } from "./process.ts";

/** What moves bytes here, and the addon that it is of. */
export interface NixlParts {
  /** Finds the library. */
  readonly addon: NativeAddon;
  /** Copies what NIXL has read. */
  readonly mover: ReturnType<typeof openNativeMover>;
}

/** Opens NIXL where there is one and it is wanted. The log tells why not: a warning where an option asks for it. */
export async function openNixl(
  { values }: ProcessContext,
  { log, chance }: Pick<ServiceProcess, "log" | "chance">,
  { addon, mover }: NixlParts,
): Promise<NixlAgent | undefined> {
  const asked = values["transfer.nixl"];
  const isAsked = values["transfer.rung"] === "nixl" || (asked !== undefined && asked !== "none");
  const refuse = (reason: string) => {
    log[isAsked ? "warn" : "debug"]("NIXL is not used", { reason });
    return undefined;
  };
  if (asked === "none") return refuse("transfer.nixl says none");
  if (asked === undefined && values["tls.cert"] !== undefined) {
    return refuse("its connections have no TLS, and transfer.nixl does not name it");
  }
  const found = await probeNixl(addon, asked);
  if (found.library === undefined) return refuse(found.unavailable);
  try {
    const { library, plugins } = found;
    const nixl = await mover.openNixl({ library, name: `stator-${printId(chance.id())}` });
    log.info("NIXL is used", { library, plugins });
    return nixl;
  } catch (caught) {
    return refuse(caught instanceof Error ? caught.message : String(caught));
  }
}
