import { createServer } from "node:http";
import { StatorError } from "#lib/base/errors";
import type { Metrics } from "#lib/host/metrics";
import { checkHttpListen } from "#lib/rpc/options";
import type { ProcessContext } from "../command.ts";

/**
 * Serves /metrics, /live and /ready over HTTP for probes and Prometheus, when `metrics.port` asks for it. The scope
 * owns the port. Throws PORT_IN_USE, UNSAFE_HTTP.
 */
export async function openMetricsPort(
  { values, scope, log }: ProcessContext,
  options: { host: string; metrics: Metrics; isReady: () => boolean },
): Promise<void> {
  const { host, metrics, isReady } = options;
  const port = values["metrics.port"];
  if (port < 0) return;
  checkHttpListen(values, "The metrics port", host);
  const server = createServer((request, response) => {
    const answer = (status: number, body: string): void => {
      response.writeHead(status, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }).end(body);
    };
    if (request.method !== "GET" && request.method !== "HEAD") answer(405, "GET only\n");
    else if (request.url === "/live") answer(200, "live\n");
    else if (request.url === "/ready") answer(isReady() ? 200 : 503, isReady() ? "ready\n" : "not ready\n");
    else if (request.url === "/metrics") {
      metrics.print().then(
        (text) => answer(200, text),
        () => answer(500, "metrics failed\n"),
      );
    } else answer(404, "/metrics, /live and /ready only\n");
  });
  server.maxConnections = 64;
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EADDRINUSE") return reject(error);
      reject(new StatorError("PORT_IN_USE", { port, host, flag: "--metrics-port" }, { cause: error }));
    });
    server.listen(port, host, resolve);
  });
  const address = server.address();
  log.info("metrics port open", { host, port: typeof address === "object" && address ? address.port : port });
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  scope.defer("metrics port", close);
}
