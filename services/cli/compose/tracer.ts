import { noTracer, openTracer, type Tracer } from "#lib/host/telemetry";
import type { CommandContext } from "../command.ts";
import { VERSION } from "../version.ts";

/** The tracer of a process: none unless trace.endpoint says where spans go. */
export async function openTracerFor({ values }: CommandContext, service: string): Promise<Tracer> {
  const endpoint = values["trace.endpoint"];
  return endpoint === undefined ? noTracer : openTracer({ endpoint, service, version: VERSION });
}
