/** Media type of a stream of server-sent events. */
export const EVENT_STREAM = "text/event-stream; charset=utf-8";

const LINE_END = /[\u0085\u2028\u2029]/;
const LINE_ENDS = /[\u0085\u2028\u2029]/g;

/**
 * JSON that is one line to everybody. A string of JSON may hold U+0085, U+2028 and U+2029, at which some clients end a line,
 * and with it the event: they are escaped.
 */
export function inOneLine(json: string): string {
  if (!LINE_END.test(json)) return json;
  return json.replace(LINE_ENDS, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** One event; the JSON is one line, and exactly one space follows the colon. */
export function printEvent(json: string): string {
  return `data: ${inOneLine(json)}\n\n`;
}

/** The last event of every stream; nothing follows it. */
export const DONE_EVENT = "data: [DONE]\n\n";

/** A comment that keeps the connection alive and that every client ignores. */
export const PING_COMMENT = ": ping\n\n";
