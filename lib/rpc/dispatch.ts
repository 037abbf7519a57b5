import { create, type Message } from "@bufbuild/protobuf";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { ServerCall } from "./call.ts";
import { DrainGate, iterate, pump } from "./iterate.ts";
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
    if (handler.kind === "refused") channel.end(handler.error());
    else if (handler.kind === "channel") handler.run(channel, call);
    else if (handler.kind === "client_streaming") serveOnce(handler.run(iterate(channel), call), served, channel);
    else if (handler.kind === "bidi_streaming") {
      const gate = gateOf(call);
      serveStream(handler.run(iterate(channel, { onDrain: gate.drained }), call), { served, channel, gate });
    } else serveOneRequest(served, channel, call);
  } catch (caught) {
    channel.end(asStatorError(caught));
  }
}

function serveOneRequest(served: ServedMethod, channel: ServerChannel, call: ServerCall): void {
  const gate = gateOf(call);
  let request: Message | undefined;
  const refuse = (detail: string) => channel.end(new StatorError("INVALID_ARGUMENT", { detail }));
  channel.receive({
    onMessage(message) {
      if (request) refuse(`${served.path} takes one message`);
      request ??= message;
    },
    onEnd(error) {
      if (error) return;
      if (!request) return refuse(`${served.path} takes one message and got none`);
      run(request);
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
