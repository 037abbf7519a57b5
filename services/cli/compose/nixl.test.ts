import { expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import type { Log } from "#lib/host/log";
import { silentLog } from "#lib/host/log";
import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";
import { buildNixlSim } from "../../../test/support/nixl.ts";
import type { ProcessContext } from "../command.ts";
import { openNixl } from "./nixl.ts";

const { addon, unavailable } = loadNative();

/** What is told when a worker has these options, and whether there is NIXL then. */
async function openWith(values: Partial<ProcessContext["values"]>) {
  const told: unknown[] = [];
  const tell = (level: string) => (phrase: string, fields: unknown) => void told.push([level, phrase, fields]);
  const log = { ...silentLog, debug: tell("debug"), info: tell("info"), warn: tell("warn") } as Log;
  const mover = openNativeMover(addon!);
  const context = { values: { "transfer.rung": "best", ...values } } as ProcessContext;
  const opened = await openNixl(context, { log, chance: new SeededChance(1n) }, { addon: addon!, mover });
  mover.close();
  return { isOpen: opened !== undefined, told: told.flat() };
}

it.skipIf(addon === undefined)(
  `NIXL is used where it is, and else it is told why not (${unavailable ?? "built"})`,
  async () => {
    const library = buildNixlSim();
    const named = await openWith({ "transfer.nixl": library, "tls.cert": "cert.pem" });
    expect(named).toEqual({ isOpen: true, told: ["info", "NIXL is used", { library, plugins: expect.any(Array) }] });
    const cases: [Partial<ProcessContext["values"]>, string, string][] = [
      [{ "transfer.nixl": "/nowhere" }, "warn", "There is no libnixl_capi.so in /nowhere."],
      [{ "transfer.nixl": "none" }, "debug", "transfer.nixl says none"],
      [{ "transfer.nixl": "none", "transfer.rung": "nixl" }, "warn", "transfer.nixl says none"],
      [{ "tls.cert": "cert.pem" }, "debug", "its connections have no TLS, and transfer.nixl does not name it"],
    ];
    for (const [values, level, reason] of cases) {
      expect(await openWith(values)).toEqual({ isOpen: false, told: [level, "NIXL is not used", { reason }] });
    }
  },
);
