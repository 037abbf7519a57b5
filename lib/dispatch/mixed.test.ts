import { beforeEach, describe, expect, it } from "vitest";
import { answer, DispatchRig } from "../../test/support/dispatch-rig.ts";

/** As a worker of a build that has no features. */
const OLDER = { features: [] };
const LONG = 70_000;

describe("an answer of more than 65,536 tokens", () => {
  let cluster: DispatchRig;
  beforeEach(() => {
    cluster = new DispatchRig();
  });

  function begin() {
    cluster.add(1n, 1n, 8, { tokensPerStep: 255 });
    const { client } = cluster.start({ maxTokens: LONG });
    cluster.advance(5_300);
    const [before] = client.tokens;
    expect(before?.length).toBeGreaterThan(65_536);
    expect(before?.length).toBeLessThan(LONG);
    return client;
  }

  it("continues on another worker when its own dies", () => {
    const client = begin();
    cluster.add(2n, 1n, 8, { tokensPerStep: 255 });
    cluster.kill(1n);
    cluster.advance(2_000);
    expect(client.error).toBeUndefined();
    expect(client.placements.map(({ worker }) => worker)).toEqual([1n, 2n]);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, LONG));
    expect(client.usage).toMatchObject({ completionTokens: LONG });
  });

  it("goes past workers of an older build to one that can take it, and blames nobody's request when there is none", () => {
    const client = begin();
    cluster.add(2n, 1n, 8, OLDER);
    cluster.kill(1n);
    cluster.advance(1_000);
    expect(client.error).toBeUndefined();
    cluster.add(3n, 1n, 8, { tokensPerStep: 255 });
    cluster.advance(3_000);
    expect(client.tokens[0]).toEqual(answer([1, 2, 3], 0, LONG));

    const lonely = new DispatchRig();
    cluster = lonely;
    const other = begin();
    lonely.add(2n, 1n, 8, OLDER);
    lonely.kill(1n);
    lonely.advance(20_000);
    expect(other.error?.row).toMatchObject({ blame: "server", http: 503 });
    expect(other.error?.message).toContain("older build");
  });
});
