import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { StatorError } from "#lib/base/errors";
import type { CallOptions, Transport } from "./transport.ts";

/** A unary call over a channel. Settles when the status arrived. */
export function unaryOver<I extends DescMessage, O extends DescMessage>(
  transport: Pick<Transport, "open" | "target">,
  call: { method: DescMethodUnary<I, O>; request: MessageShape<I>; options: CallOptions | undefined },
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    const channel = transport.open(call.method, call.options);
    let answer: MessageShape<O> | undefined;
    channel.receive({
      onMessage(message) {
        answer = message;
      },
      onEnd(error) {
        if (error) reject(error);
        else if (answer) resolve(answer);
        else reject(new StatorError("UNAVAILABLE", { what: transport.target, detail: "it answered with nothing" }));
      },
    });
    channel.send(call.request);
    channel.end();
  });
}
