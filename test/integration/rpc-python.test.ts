import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { createHealth } from "#lib/rpc/health";
import { createReflectionServices } from "#lib/rpc/reflection";
import { openServer } from "#lib/rpc/server";
import { EchoService } from "../conformance/rpc/echo.ts";
import { Lab } from "../conformance/rpc/lab.ts";

/** Debian's own, where apt puts grpcio. */
const PYTHON = "/usr/bin/python3";

function hasGrpc(): boolean {
  try {
    execFileSync(PYTHON, ["-c", "import grpc, google.protobuf"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

test("a Python client learns the contract by reflection and calls it", async (context) => {
  if (!hasGrpc()) return context.skip("Debian's python3-grpcio and python3-protobuf are not installed");
  const health = createHealth();
  health.set(EchoService.typeName, true);
  const services = [new Lab().service, health.service];
  const server = await openServer({
    host: "127.0.0.1",
    port: 0,
    credentials: loopbackCredentials,
    services: [...services, ...createReflectionServices(services)],
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  });
  try {
    const script = new URL("rpc-foreign.py", import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(PYTHON, [script, server.address, EchoService.typeName]);
    const listed = [
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
      "stator.test.v1.EchoService",
    ];
    expect(JSON.parse(stdout)).toEqual({
      v1: listed,
      v1alpha: listed,
      methods: EchoService.methods.map(({ name }) => name).sort(),
      missing: true,
      said: "hello",
      error: ["UNAVAILABLE", "No worker can take a request for m now.", true],
      counted: [0, 1, 2, 3, 4],
      health: 1,
      unhealthy: "NOT_FOUND",
      unknown: "UNIMPLEMENTED",
    });
  } finally {
    await server.close();
  }
});
