import { type ChannelOptions, logVerbosity, setLogVerbosity } from "@grpc/grpc-js";

/** Longest message that is received or sent, in bytes, where nobody says otherwise. */
export const MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024;

/** HTTP/2 flow-control window of a stream and of its session, in bytes. The default of 64 KiB stalls at a round trip per prompt. */
export const WINDOW_BYTES = 1024 * 1024;

/** Streams that one client may have open in one session. */
const CONCURRENT_STREAMS = 100_000;

const both: ChannelOptions = {
  ...receiveLimit(MESSAGE_LIMIT_BYTES),
  // Sizes are checked before a message is handed to grpc-js, with a typed error.
  "grpc.max_send_message_length": -1,
  "grpc.enable_channelz": 0,
};

/** Options of every channel. Each channel has a session of its own: classes of traffic never wait for each other. */
export const CLIENT_OPTIONS: Readonly<ChannelOptions> = {
  ...both,
  "grpc.use_local_subchannel_pool": 1,
  "grpc-node.flow_control_window": WINDOW_BYTES,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_retries": 0,
  // With 0 the write callback tells when bytes left, not when they were copied for a retry that never comes.
  "grpc.per_rpc_retry_buffer_size": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2_000,
};

/** Options of every server. */
export const SERVER_OPTIONS: Readonly<ChannelOptions> = {
  ...both,
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** Calls that one peer address cancels by resetting their streams: so many at once, and so many more a second. Beyond, its sessions are closed. */
export const RESET_LIMIT = { burst: 20_000, perSecond: 2_000 } as const;

/**
 * Options of node:http2 that grpc-js does not know. Node closes a session, and every innocent stream on it, after about
 * 1,000 resets in a burst; its bound is raised to twice ours, so that ours speaks first. `settings` gives clients the same
 * window that servers give.
 */
export const HTTP2_SERVER_OPTIONS = {
  streamResetBurst: RESET_LIMIT.burst * 2,
  streamResetRate: RESET_LIMIT.perSecond * 2,
  settings: { maxConcurrentStreams: CONCURRENT_STREAMS, initialWindowSize: WINDOW_BYTES },
} as const;

/** Option of a channel or a server: the longest message that it receives. A longer one is refused at its first bytes, with RESOURCE_EXHAUSTED. */
export function receiveLimit(messageBytes: number): ChannelOptions {
  return { "grpc.max_receive_message_length": messageBytes };
}

/** Keeps grpc-js from writing to the console by itself; what matters arrives as an error. */
export function silenceGrpc(): void {
  setLogVerbosity(logVerbosity.NONE);
}
