import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { noTracer, openTracer } from "./telemetry.ts";

it("hands the caller's context on when nothing is traced", () => {
  expect(noTracer.start("request", "00-x").traceparent).toBe("00-x");
});

it("sends a span under the caller's trace to an OTLP endpoint", async () => {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      bodies.push(Buffer.concat(parts).toString());
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const tracer = await openTracer({
    endpoint: `http://127.0.0.1:${port}/v1/traces`,
    service: "stator-test",
    version: "0",
  });
  const trace = "0af7651916cd43dd8448eb211c80319c";
  const span = tracer.start("chat", `00-${trace}-b7ad6b7169203331-01`);
  expect(span.traceparent).toMatch(new RegExp(`^00-${trace}-[0-9a-f]{16}-01$`));
  span.set("model", "m");
  span.end("NO_WORKERS");
  await tracer.close();
  server.close();
  expect(bodies.join("")).toContain(trace);
  expect(bodies.join("")).toContain("stator-test");
});
