import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { openServices } from "stator/discovery";
import { serve } from "./service.ts";
import { WordService } from "./words_pb.ts";

test("whoever looks for the service finds both servers and calls them in turn", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "service-"));
  const url = pathToFileURL(folder).href;
  const servers = await Promise.all([serve(url), serve(url)]);
  const services = await openServices(url);
  const pool = await services.find(WordService);
  assert.deepEqual(pool.instances.map(({ address }) => address).sort(), servers.map(({ address }) => address).sort());
  for (const value of ["once upon a time", "again"]) {
    assert.equal((await pool.client.count({ value })).value, BigInt(value.split(" ").length));
  }
  await services.close();
  for (const server of servers) await server.close();
  await rm(folder, { recursive: true });
});
