import { afterAll, beforeAll, describe, it } from "vitest";
import { badBody, badMessage } from "../support/bad-infer.ts";
import { MISTAKES } from "../support/infer-mistakes.ts";
import { Stranger } from "../support/stranger.ts";

const stranger = new Stranger();
beforeAll(() => stranger.open());
afterAll(() => stranger.close());

describe.each(Object.keys(MISTAKES))("a request with %s", (name) => {
  const mistake = MISTAKES[name]!;
  const request = () => mistake.change(stranger.good[mistake.of]);

  it("is refused over gRPC, and what follows is served", async () => {
    await stranger.expectRefusedByGrpc(badMessage(request()), mistake);
    await stranger.stillServes();
  });

  it("is refused over HTTP, and what follows is served", async () => {
    await stranger.expectRefusedByHttp(badBody(request()), { ...mistake, words: mistake.overHttp ?? mistake.words });
    await stranger.stillServes();
  });
});

it("holds nothing when all of it is over, and complains of nothing", () => stranger.expectIdle());
