import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "#lib/base/clock";
import { Roster } from "#lib/base/collections";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { type OperatorsFrom, operatorsOnly } from "#lib/rpc/operators";
import type { PrintError } from "../doors/reply.ts";
import type { FrontendLimits } from "../limits.ts";
import type { ReaderPatience } from "../patience.ts";
import type { RequestMeter } from "../request-meter.ts";
import { allowOrigin } from "./cors.ts";
import { Exchange } from "./exchange.ts";
import { operates } from "./operators.ts";
import { type FoundRoute, isSafe, noRoute, type Router } from "./router.ts";

/** What an HTTP port is made of. */
export interface HttpServerOptions {
  /** Where it listens. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** What answers which path. */
  readonly router: Router;
  /** The form of errors, where a route has no other. */
  readonly printError: PrintError;
  /** Answers paths that the router does not have, such as RPCs; returns whether it did. */
  readonly fallback: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** From where operators may ask for what is theirs. */
  readonly operators: OperatorsFrom;
  /** Origins whose pages may read answers; `*` is any. */
  readonly corsOrigins: readonly string[];
  /** How many connections, and how long clients may take. */
  readonly limits: FrontendLimits;
  /** Of all its waits and times. */
  readonly clock: Clock;
  /** A name for a request that brings none; no two alike. */
  readonly drawRequestId: () => string;
  /** Told when the port itself fails. */
  readonly log: Log;
  /** Notes what became of requests. */
  readonly meter: RequestMeter;
}

/** An open HTTP port. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  readonly #open = new Roster<Exchange>();
  readonly #patience: ReaderPatience;
  #connections = 0;
  #draining = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const { limits, clock } = options;
    this.#patience = { clock, slowMs: limits.slowClientMs };
    this.#server = createServer(
      {
        headersTimeout: limits.headersMs,
        requestTimeout: limits.requestMs,
        keepAliveTimeout: limits.keepAliveMs,
        connectionsCheckingInterval: Math.min(5000, Math.max(100, Math.floor(limits.headersMs / 2))),
        maxHeaderSize: 32 * 1024,
        highWaterMark: 16 * 1024,
        noDelay: true,
        // Node would refuse a request without it in words of its own, and nothing here looks at it.
        requireHostHeader: false,
      },
      (request, response) => this.#answer(request, response),
    );
    this.#server.maxConnections = limits.connections;
    this.#server.on("connection", (socket) => this.#count(socket));
    this.#server.on("clientError", (error, socket) => refuseConnection(error, socket, options.printError));
    // A client that asks first is not told to send a body that is too long.
    this.#server.on("checkContinue", (request, response) => {
      if (Number(request.headers["content-length"] ?? 0) <= limits.bodyBytes) response.writeContinue();
      this.#answer(request, response);
    });
    this.#server.on("checkExpectation", (request, response) =>
      this.#answer(request, response, new StatorError("EXPECTATION")),
    );
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#connections;
  }

  /** Whether it takes no new requests. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Exchanges that are not over. */
  get open(): number {
    return this.#open.size;
  }

  /** Adds the answers of events that are open to the numbers of their routes. */
  countStreams(byRoute: Record<string, number>): void {
    for (const { streams, route } of this.#open.snapshot()) if (streams) byRoute[route] = (byRoute[route] ?? 0) + 1;
  }

  /** Listens and returns the port. Throws PORT_IN_USE. */
  async listen(): Promise<number> {
    const { host, port, log } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port));
      this.#server.once("error", failed);
      this.#server.listen({ host, port, exclusive: true }, () => {
        this.#server.removeListener("error", failed);
        this.#server.on("error", (error) => log.warn("http port failed", { error }));
        resolve();
      });
    });
    const address = this.#server.address();
    return typeof address === "object" && address ? address.port : port;
  }

  /** Takes no new connection; new requests on those that are open get DRAINING. */
  stopAccepting(): void {
    this.#draining = true;
    this.#server.close();
    this.#server.closeIdleConnections();
  }

  /** Resolves when every exchange is over. */
  async idle(): Promise<void> {
    const waits = this.#open.snapshot().map((exchange) => new Promise<void>((resolve) => exchange.onClose(resolve)));
    await Promise.all(waits);
  }

  /** Ends the work on every answer that is not over, and tells its client why. */
  abortAll(error: StatorError): void {
    for (const exchange of this.#open.snapshot()) {
      if (exchange.work) exchange.work.abort(error);
      else exchange.fail(error);
    }
  }

  /** Ends every connection at once. */
  closeConnections(): void {
    this.#server.closeAllConnections();
  }

  #count(socket: Socket): void {
    this.#connections++;
    socket.once("close", () => this.#connections--);
  }

  /** @param refusal what is wrong with the request, found before anything was read */
  #answer(request: IncomingMessage, response: ServerResponse, refusal = refusalOf(request)): void {
    const { router, printError, drawRequestId, corsOrigins } = this.#options;
    const given = request.headers["x-request-id"];
    const requestId = typeof given === "string" && /^[\w.:-]{1,128}$/.test(given) ? given : drawRequestId();
    const found = router.find(request.method ?? "GET", request.url ?? "/");
    const form = { patience: this.#patience, printError: found?.route.printError ?? printError };
    const exchange = new Exchange({ request, response }, requestId, form);
    this.#open.add(exchange);
    exchange.onClose(() => this.#close(exchange));
    allowOrigin(exchange, corsOrigins, found?.allow);
    try {
      if (refusal) {
        exchange.closeAfter();
        throw refusal;
      }
      const handled = this.#handle(exchange, response, found);
      if (handled) handled.catch((error: unknown) => this.#fail(exchange, error));
    } catch (error) {
      this.#fail(exchange, error);
    }
  }

  #handle(exchange: Exchange, response: ServerResponse, found: FoundRoute | undefined): Promise<void> | undefined {
    const { request } = exchange;
    const method = request.method ?? "GET";
    const target = request.url ?? "/";
    if (this.#draining && !isSafe(method)) {
      exchange.closeAfter();
      throw new StatorError("DRAINING", { what: "This frontend" });
    }
    if (method === "OPTIONS" && target === "*") return void exchange.empty(204);
    if (this.#options.fallback?.(request, response)) return undefined;
    if (!found) throw noRoute(method, target);
    const { route, taken, allow, parts } = found;
    exchange.route = route.name;
    if (taken) {
      if (route.access === "operator" && !operates(request, this.#options.operators)) throw operatorsOnly(route.path);
      return route.handler(exchange, parts) ?? undefined;
    }
    exchange.set("allow", allow);
    if (method === "OPTIONS") return void exchange.empty(204);
    throw new StatorError("METHOD_NOT_ALLOWED", { path: route.path, allow });
  }

  #fail(exchange: Exchange, caught: unknown): void {
    const error = asStatorError(caught);
    // What probes and browsers ask for is no request to a model.
    this.#options.meter.refused(exchange, error, exchange.request.method === "POST" ? "info" : "debug");
    // A client that left while its body was read gets no answer.
    if (error.reason === "CANCELLED" && exchange.closed) return;
    exchange.fail(error);
  }

  #close(exchange: Exchange): void {
    this.#open.delete(exchange);
    exchange.place?.leave();
    exchange.work?.closed();
    this.#options.meter.ended(exchange);
  }
}

/** Node takes the last coding, chunked, off a body and hands the others through. */
function refusalOf({ headers }: IncomingMessage): StatorError | undefined {
  const coding = headers["transfer-encoding"];
  return coding === undefined || /^chunked$/i.test(coding) ? undefined : new StatorError("TRANSFER_ENCODING");
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code !== "EADDRINUSE")
    return new StatorError(
      "BAD_CONFIG",
      { detail: `Cannot listen on ${host}:${port}: ${error.code ?? error.message}` },
      { cause: error },
    );
  return new StatorError("PORT_IN_USE", { host, port, flag: "--http-port" }, { cause: error });
}

/** Bytes that are not HTTP, or come too slowly, are answered in the form of the port, and the connection closed. */
function refuseConnection(
  error: NodeJS.ErrnoException,
  socket: { writable: boolean; end(text: string): void; destroy(): void },
  printError: PrintError,
): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, detail] = clientErrors[error.code ?? ""] ?? ["400 Bad Request", "The bytes sent are not HTTP"];
  const { body } = printError(new StatorError("INVALID_ARGUMENT", { detail }));
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

const clientErrors: Readonly<Record<string, readonly [string, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "The request did not arrive in time"],
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "The headers are too long"],
};
