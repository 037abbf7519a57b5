import { lookup } from "node:dns/promises";
import type { Http2Server, Http2Session } from "node:http2";
import { isIP } from "node:net";
import { Server } from "@grpc/grpc-js";
import type { Access } from "#gen/stator/common/v1/common_pb";
import type { Clock } from "#lib/base/clock";
import { assert, StatorError } from "#lib/base/errors";
import { type Credentials, checkListen, listenCredentials } from "./credentials.ts";
import { serveBytes, serveCall } from "./dispatch.ts";
import { type GrpcServerCall, IncomingCall, IncomingChannel } from "./incoming.ts";
import { CallObserver, type Observed } from "./observer.ts";
import type { OperatorsFrom } from "./operators.ts";
import { ResetCounter, type ResetLimit, watchResets } from "./reset-limit.ts";
import { ByteCoding, MessageCoding } from "./serialize.ts";
import { methodsFor, type ServedMethod, type ServedService } from "./service.ts";
import {
  HTTP2_SERVER_OPTIONS,
  MESSAGE_LIMIT_BYTES,
  receiveLimit,
  SERVER_OPTIONS,
  silenceGrpc,
  WINDOW_BYTES,
} from "./settings.ts";

/** Where and how a server listens. */
export interface ServerOptions extends Observed {
  /** Address or name of this machine. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** How callers are proven and bytes hidden; also whether it may listen beyond this machine. */
  readonly credentials: Credentials;
  /** All methods that there are; `allow` says which are answered. */
  readonly services: readonly ServedService[];
  /** Which methods this port answers, by who may call them; all by default. */
  readonly allow?: readonly Access[];
  /** From where operators may call; `here` unless given. */
  readonly operators?: OperatorsFrom;
  /** Longest message that it receives or sends, in bytes; 16 MiB unless given. A longer one is refused at its first bytes. */
  readonly messageBytes?: number;
  /** Resets that one peer may send; beyond, its sessions are closed. */
  readonly resetLimit?: ResetLimit;
  /** Names of the options that set the port and the certificate, for the sentences of errors. */
  readonly flags?: { readonly port?: string; readonly tls?: string };
}

/** A listening gRPC server. */
export interface RpcServer {
  /** The address that it listens on: a name was resolved. */
  readonly host: string;
  /** The one that it has, where any was asked for. */
  readonly port: number;
  /** host:port, as a client dials it on this machine. */
  readonly address: string;
  /** Calls that are open. */
  readonly openCalls: number;
  /** Takes no new connection and no new call, waits so long for open ones, then ends them. */
  drain(timeoutMs: number): Promise<void>;
  /** Ends open calls and the listener now. */
  close(): Promise<void>;
}

/** The members of grpc-js's server that it keeps private and that we need; their presence is asserted. */
interface ServerInside {
  commonServerOptions: Record<string, unknown>;
  http2Servers: Map<Http2Server, { readonly sessions: ReadonlySet<Http2Session> }>;
}

/**
 * Listens. The only place that creates a gRPC server. Throws UNSAFE_LISTEN for plaintext beyond loopback that nobody
 * allowed, PORT_IN_USE, or BAD_CONFIG for an address that cannot be listened on.
 */
export async function openServer(options: ServerOptions): Promise<RpcServer> {
  const { clock, credentials, flags = {}, messageBytes: limitBytes = MESSAGE_LIMIT_BYTES } = options;
  checkListen(credentials, options.host, flags.tls);
  silenceGrpc();
  const server = new Server({ ...SERVER_OPTIONS, ...receiveLimit(limitBytes) });
  const inside = openInside(server);
  const observer = new CallObserver("grpc", options);
  register(server, methodsFor(options.services, options), { observer, clock, limitBytes });
  const host = await resolve(options.host);
  const port = await bind(server, { ...options, host });
  watchSessions(inside.http2Servers, options);
  return {
    host,
    port,
    address: at(host, port),
    get openCalls() {
      return observer.openCalls;
    },
    drain: (timeoutMs) => drain(server, inside, { timeoutMs, clock }),
    close: () => drain(server, inside, { timeoutMs: 0, clock }),
  };
}

function openInside(server: Server): ServerInside {
  // Private members: grpc-js has no option for what is set here.
  const inside = server as unknown as ServerInside;
  assert(typeof inside.commonServerOptions === "object", "grpc-js keeps its http2 options in commonServerOptions");
  assert(inside.http2Servers instanceof Map, "grpc-js keeps its http2 servers in http2Servers");
  Object.assign(inside.commonServerOptions, HTTP2_SERVER_OPTIONS);
  return inside;
}

/** Every method is registered as a bidirectional one: the wire is the same, and dispatch knows the kinds. */
function register(
  server: Server,
  methods: readonly ServedMethod[],
  {
    observer,
    clock,
    limitBytes,
  }: { readonly observer: CallObserver; readonly clock: Clock; readonly limitBytes: number },
): void {
  const whole = (bytes: Buffer) => bytes;
  for (const served of methods) {
    const { method, checkBytes, handler } = served;
    const added = server.register(
      served.path,
      (call: GrpcServerCall) => {
        const context = new IncomingCall(served, call, clock);
        const parts = { context, onOver: observer.begin(served) };
        if (handler.kind === "bytes") {
          const coding = new ByteCoding(method.output, limitBytes);
          serveBytes(served, new IncomingChannel(call, { ...parts, coding }), context);
        } else {
          const coding = new MessageCoding(method.output, method.input, { limitBytes, checkBytes });
          serveCall(served, new IncomingChannel(call, { ...parts, coding }), context);
        }
      },
      whole,
      whole,
      "bidi",
    );
    assert(added, `${served.path} is served twice`);
  }
}

async function resolve(host: string): Promise<string> {
  const bare = host.replace(/^\[|\]$/g, "");
  if (isIP(bare)) return bare;
  // One address for one name: grpc-js would take what it can get of several and call that success.
  if (bare === "localhost") return "127.0.0.1";
  try {
    return (await lookup(bare)).address;
  } catch (cause) {
    throw new StatorError("BAD_CONFIG", { detail: `${host} is no address of this machine.` }, { cause });
  }
}

function bind(server: Server, { host, port, credentials, flags = {} }: ServerOptions): Promise<number> {
  return new Promise((done, failed) => {
    server.bindAsync(at(host, port), listenCredentials(credentials), (error, bound) => {
      if (!error) return done(bound);
      // grpc-js hands on the system's code only inside its text.
      if (error.message.includes("EADDRINUSE")) {
        return failed(new StatorError("PORT_IN_USE", { port, host, flag: flags.port ?? "--port" }, { cause: error }));
      }
      const detail = `Cannot listen on ${at(host, port)}: ${/\b(E[A-Z]{3,})\b/.exec(error.message)?.[1] ?? "refused"}.`;
      failed(new StatorError("BAD_CONFIG", { detail }, { cause: error }));
    });
  });
}

function watchSessions(
  servers: ServerInside["http2Servers"],
  { clock, log, metrics, resetLimit }: ServerOptions,
): void {
  const counter = new ResetCounter(resetLimit);
  const listener = {
    onReset: () => metrics.add("stator_rpc_resets_total"),
    onClosed(peer: string) {
      metrics.add("stator_rpc_sessions_closed_total");
      log.warn("session closed after too many resets", { peer });
    },
  };
  for (const http2 of servers.keys()) {
    http2.on("session", (session) => {
      session.setLocalWindowSize(WINDOW_BYTES);
      watchResets(session, { counter, clock }, listener);
    });
  }
}

function drain(
  server: Server,
  inside: ServerInside,
  { timeoutMs, clock }: { readonly timeoutMs: number; readonly clock: Clock },
): Promise<void> {
  const force = () => {
    // Without channelz grpc-js forgets its sessions here and would leave open calls open.
    for (const { sessions } of inside.http2Servers.values()) for (const session of sessions) session.destroy();
    server.forceShutdown();
  };
  return new Promise((resolve) => {
    const timer = clock.after(timeoutMs, force, { keepAlive: true });
    server.tryShutdown(() => {
      timer.cancel();
      resolve();
    });
    if (timeoutMs <= 0) force();
  });
}

function at(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
