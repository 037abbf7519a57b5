import { create, type Message } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Health, HealthCheckRequestSchema } from "#gen/grpc/health/v1/health_pb";
import { Access } from "#gen/stator/common/v1/common_pb";
import { FakeClock } from "#lib/base/clock";
import { Abort, type ServerCall } from "./call.ts";
import { serveCall } from "./dispatch.ts";
import { noMetadata } from "./metadata.ts";
import { Pipe } from "./pipe.ts";
import { type Callers, createService, type Handlers, methodsFor } from "./service.ts";

/** Calls Check of Health, served with this access, from this address. Returns the error, or undefined. */
function check(access: Access, address: string, given: Callers & { readonly handlers?: Handlers<typeof Health> } = {}) {
  const clock = new FakeClock();
  const { handlers = { check: () => ({ status: 1 }) }, ...callers } = given;
  const [served] = methodsFor([createService(Health, handlers, { access })], callers);
  if (!served) throw new Error("Health has methods");
  const pipe = new Pipe<Message, Message>(clock, { onOver() {} });
  const ends: (string | undefined)[] = [];
  pipe.client.receive({ onMessage() {}, onEnd: (error) => ends.push(error?.message) });
  const call: ServerCall = {
    method: served.method,
    access,
    peer: { address, binding: "grpc", proven: false, subject: undefined },
    metadata: noMetadata,
    deadlineUnixMs: undefined,
    signal: new AbortController().signal,
    sendHeaders() {},
    setTrailers() {},
    abort: new Abort(),
  };
  serveCall(served, pipe.server, call);
  pipe.client.send(create(HealthCheckRequestSchema));
  pipe.client.end();
  clock.advance(1);
  expect(ends).toHaveLength(1);
  return ends[0];
}

const AWAY = "192.0.2.7:4000";
const REFUSED =
  "/grpc.health.v1.Health/Check is not open on this port to other machines: operators there need a client certificate " +
  "(--tls-ca), or --operators-anywhere at this process.";

test("operators call from this machine, or from anywhere where that is said", () => {
  expect(check(Access.OPERATOR, "127.0.0.1:4000")).toBeUndefined();
  expect(check(Access.OPERATOR, AWAY)).toBe(REFUSED);
  expect(check(Access.OPERATOR, AWAY, { operators: "anywhere" })).toBeUndefined();
});

test("everyone else calls from anywhere, and only whom the port allows", () => {
  expect(check(Access.PUBLIC, AWAY)).toBeUndefined();
  expect(check(Access.PEER, AWAY)).toBeUndefined();
  const closed = "/grpc.health.v1.Health/Check is not open on this port.";
  expect(check(Access.PEER, "127.0.0.1:4000", { allow: [Access.PUBLIC] })).toBe(closed);
  expect(check(Access.OPERATOR, AWAY, { allow: [Access.PUBLIC], operators: "anywhere" })).toBe(closed);
});

test("a handler of bytes is guarded as any other", () => {
  let ran = 0;
  const handlers: Handlers<typeof Health> = {
    check: {
      bytes(channel) {
        ran++;
        channel.end();
      },
    },
  };
  expect(check(Access.OPERATOR, AWAY, { handlers })).toBe(REFUSED);
  expect(ran).toBe(0);
  expect(check(Access.OPERATOR, "127.0.0.1:1", { handlers })).toBeUndefined();
  expect(ran).toBe(1);
});
