/** Media type of a stream of server-sent events. */
export const EVENT_STREAM = "text/event-stream; charset=utf-8";

/** One event; the JSON is one line, and exactly one space follows the colon. */
export function printEvent(json: string): string {
  return `data: ${json}\n\n`;
}

/** The last event of every stream; nothing follows it. */
export const DONE_EVENT = "data: [DONE]\n\n";

/** A comment that keeps the connection alive and that every client ignores. */
export const PING_COMMENT = ": ping\n\n";
