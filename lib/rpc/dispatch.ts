import { create, type Message } from "@bufbuild/protobuf";
import { asStatorError } from "#lib/base/errors";
import { ByteChannel } from "./byte-channel.ts";
import type { ServerCall } from "./call.ts";
import { DrainGate, iterate, pump } from "./iterate.ts";
import { OneRequestChannel } from "./one-request.ts";
import type { Init, ServedMethod } from "./service.ts";
import type { DuplexChannel } from "./stream.ts";

/** The server's end of a call with its types forgotten. */
export type ServerChannel = DuplexChannel<Message, Message>;

/**
 * Runs the handler of a call, whatever form it has, over the server's end of its channel. The call ends when the channel
 * does; nothing is thrown.
 */
export function serveCall(served: ServedMethod, channel: ServerChannel, call: ServerCall): void {
  const { handler } = served;
  try {
    const refusal = served.refusal?.(call.peer);
    if (refusal) channel.end(refusal);
    else if (handler.kind === "refused") channel.end(handler.error());
    else if (handler.kind === "bytes") {
      const { input, output } = served.method;
      serveBytes(served, new ByteChannel(channel, output, input), call);
    } else if (handler.kind === "channel") handler.run(channel, call);
    else if (handler.kind === "client_streaming") serveOnce(handler.run(iterate(channel), call), served, channel);
    else if (handler.kind === "bidi_streaming") {
      const gate = gateOf(call);
      serveStream(handler.run(iterate(channel, { onDrain: gate.drained }), call), { served, channel, gate });
    } else serveOneRequest(served, channel, call);
  } catch (caught) {
    channel.end(asStatorError(caught));
  }
}

/** As `serveCall`, of a method with a `ByteHandler`, where the channel carries bytes. */
export function serveBytes(
  { method, path, handler, refusal }: ServedMethod,
  channel: DuplexChannel<Uint8Array, Uint8Array>,
  call: ServerCall,
): void {
  if (handler.kind !== "bytes") return;
  const takesOne = method.methodKind === "unary" || method.methodKind === "server_streaming";
  try {
    const why = refusal?.(call.peer);
    if (why) channel.end(why);
    else handler.run(takesOne ? new OneRequestChannel(channel, path) : channel, call);
  } catch (caught) {
    channel.end(asStatorError(caught));
  }
}

function serveOneRequest(served: ServedMethod, channel: ServerChannel, call: ServerCall): void {
  const gate = gateOf(call);
  let request: Message | undefined;
  new OneRequestChannel(channel, served.path).receive({
    onMessage(message) {
      request = message;
    },
    onEnd(error) {
      if (!error && request) run(request);
    },
    onDrain: gate.drained,
  });
  const run = (message: Message) => {
    const { handler } = served;
    try {
      if (handler.kind === "unary") serveOnce(handler.run(message, call), served, channel);
      else if (handler.kind === "server_streaming") {
        serveStream(handler.run(message, call), { served, channel, gate });
      }
    } catch (caught) {
      channel.end(asStatorError(caught));
    }
  };
}

/** Answers with one message, at once when the handler did. */
function serveOnce(answer: Promise<Init> | Init, { method }: ServedMethod, channel: ServerChannel): void {
  const send = (init: Init) => {
    channel.send(create(method.output, init));
    channel.end();
  };
  if (answer instanceof Promise) answer.then(send).catch((caught: unknown) => channel.end(asStatorError(caught)));
  else send(answer);
}

function serveStream(
  answers: AsyncIterable<Init>,
  { served, channel, gate }: { served: ServedMethod; channel: ServerChannel; gate: DrainGate },
): void {
  const { output } = served.method;
  // pump owns every error of the iterable.
  pump(answers, channel, { gate, toMessage: (init) => create(output, init) });
}

function gateOf(call: ServerCall): DrainGate {
  const gate = new DrainGate();
  call.abort.listen(gate.close);
  return gate;
}
