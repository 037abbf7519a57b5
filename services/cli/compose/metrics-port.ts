import { createServer } from "node:http";
import { StatorError } from "#lib/base/errors";
import type { Metrics } from "#lib/host/metrics";
import type { Closable } from "#lib/host/scope";

/** Serves /metrics, /live and /ready over HTTP for probes and Prometheus. Throws PORT_IN_USE. */
export async function openMetricsPort(options: {
  host: string;
  port: number;
  metrics: Metrics;
  isReady: () => boolean;
}): Promise<Closable & { readonly port: number }> {
  const { host, port, metrics, isReady } = options;
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
  return {
    port: typeof address === "object" && address ? address.port : port,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
