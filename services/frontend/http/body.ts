import type { IncomingMessage } from "node:http";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Admission } from "./admission.ts";
import type { Exchange } from "./exchange.ts";

/** How bodies are read. */
export interface BodyOptions {
  /** Longest body; one that is longer is refused. */
  readonly mostBytes: number;
  /** Has the room that all bodies share. */
  readonly admission: Admission;
  /** For the time in which the rest of a refused body is dropped. */
  readonly clock: Clock;
  /** Bodies may be of bytes, by their header too. */
  readonly binary?: boolean;
}

/** How long the rest of a refused body is read and dropped, so that the client gets to read the answer. */
const LINGER_MS = 2000;

/**
 * Receives a body that is JSON by its header and hands it over in the chunks in which it came; its room is given back when
 * `read` is done with it.
 * Throws what is wrong with it; CANCELLED when the client left.
 */
export async function receiveBody<Read>(
  exchange: Exchange,
  options: BodyOptions,
  read: (chunks: readonly Buffer[]) => Promise<Read>,
): Promise<Read> {
  checkHeaders(exchange, options.binary ?? false);
  const taken = { size: 0 };
  try {
    return await read(await readBody(exchange, options, taken));
  } finally {
    options.admission.release(taken.size);
  }
}

/**
 * A missing content type counts as JSON, and so do those that curl and fetch put on text unless told otherwise. A page in
 * a browser may send these two anywhere without being asked; it always sends its origin with them, and is refused.
 */
function checkHeaders(exchange: Exchange, isBinary: boolean): void {
  const type = exchange.header("content-type");
  const bytes = isBinary && /^application\/octet-stream\s*(?:;|$)/i.test(type ?? "");
  const json = type === undefined || /^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type);
  const unsaid = /^(?:text\/plain|application\/x-www-form-urlencoded)\s*(?:;|$)/i.test(type ?? "");
  const page = exchange.header("origin") !== undefined || exchange.header("sec-fetch-site") !== undefined;
  if (!json && !bytes && (!unsaid || page))
    throw new StatorError("UNSUPPORTED_MEDIA_TYPE", { expected: "application/json", header: "content-type" });
  const charset = /charset\s*=\s*"?([\w-]+)/i.exec(type ?? "")?.[1];
  if (charset && !/^utf-?8$/i.test(charset)) {
    throw new StatorError("UNSUPPORTED_MEDIA_TYPE", { expected: "UTF-8", header: "content-type" });
  }
  const encoding = exchange.header("content-encoding");
  if (encoding && encoding !== "identity") {
    throw new StatorError("UNSUPPORTED_MEDIA_TYPE", { expected: "sent as it is", header: "content-encoding" });
  }
}

/** All bytes of a body, as they arrived; `taken` says how much room they have, also after an error. */
async function readBody(exchange: Exchange, options: BodyOptions, taken: { size: number }): Promise<Buffer[]> {
  const { request } = exchange;
  const declared = Number(exchange.header("content-length") ?? 0);
  if (declared > options.mostBytes) return refuse(exchange, options, tooLarge(options));
  const chunks: Buffer[] = [];
  try {
    await eachChunk(request, (chunk) => {
      if (taken.size + chunk.length > options.mostBytes) return tooLarge(options);
      if (!options.admission.take(chunk.length)) return new StatorError("OVERLOADED", { what: "request bodies" });
      taken.size += chunk.length;
      exchange.bytesIn += chunk.length;
      chunks.push(chunk);
      return undefined;
    });
  } catch (error) {
    if (error instanceof StatorError && error.reason !== "CANCELLED") return await refuse(exchange, options, error);
    throw error;
  }
  return chunks;
}

function tooLarge({ mostBytes }: BodyOptions): StatorError {
  return new StatorError("BODY_TOO_LARGE", { limitBytes: mostBytes });
}

/** Hands over the chunks of a body; `take` returns what ends it early, and the rest is dropped. */
function eachChunk(request: IncomingMessage, take: (chunk: Buffer) => StatorError | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    let over = false;
    request.on("data", (chunk: Buffer) => {
      if (over) return;
      const error = take(chunk);
      if (!error) return;
      over = true;
      reject(error);
    });
    request.on("end", () => {
      over = true;
      resolve();
    });
    request.on("close", () => {
      if (over) return;
      over = true;
      reject(new StatorError("CANCELLED"));
    });
  });
}

/** Drops the rest of a body for a moment: closing over unread data would reset the connection before the answer is read. */
async function refuse(exchange: Exchange, options: BodyOptions, error: StatorError): Promise<never> {
  exchange.closeAfter();
  const { request } = exchange;
  if (!request.readableEnded && !request.destroyed && request.headers.expect === undefined) {
    await new Promise<void>((resolve) => {
      const timer = options.clock.after(LINGER_MS, resolve);
      const done = (): void => {
        timer.cancel();
        resolve();
      };
      request.once("end", done);
      request.once("close", done);
      request.resume();
    });
  }
  throw error;
}
