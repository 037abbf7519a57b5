import type { Command } from "../command.ts";
import { openHub } from "../compose/hub.ts";
import { TLS_KEYS } from "../compose/options.ts";

/** `stator hub`: discovery alone, for workers and frontends on several machines. */
export const hub: Command = {
  arguments: "",
  help:
    "Serves stator.discovery.v1 from memory. Workers and frontends name it with --discovery hub://HOST:PORT. When it\n" +
    "ends, nobody else does: frontends serve from their last view, and all register again when it is back.",
  options: ["hub.host", "hub.port", "metrics.port", ...TLS_KEYS],
  says: {
    "hub.host": "Where it listens.",
    "hub.port": "Its port; 0 takes a free one.",
    "metrics.port": "HTTP port for /metrics, /live and /ready; -1 opens none.",
  },
  serves: true,
  async run(context) {
    const { values, print, stopped } = context;
    const place = { host: values["hub.host"], port: values["hub.port"] };
    const opened = await openHub(context, { ...place, hasMetricsPort: true });
    print(`The hub is at hub://${opened.address}. Ctrl-C ends it.`);
    await stopped;
    return 0;
  },
};
