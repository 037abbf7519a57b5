import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openNative } from "../support/engine-driver.ts";
import { Gate } from "../support/gate/gate.ts";
import { inexactSubject, llamaSubject, serialRun, smallModels } from "../support/gate/llama-subject.ts";
import { noiseProblems } from "../support/gate/noise.ts";
import { hereRungs } from "../support/gate/subjects.ts";
import { gateWays } from "../support/gate/ways.ts";
import { IS_LONG } from "../support/seeds.ts";

const native = openNative();
const COUNT = IS_LONG ? 2_000 : 16;
/** Those of the short form: the mock goes all of them. */
const SHORT = ["two workers, shared-memory", "both at once"];

const folder = mkdtempSync(join(tmpdir(), "stator-gate-llama-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(native.reason !== undefined)(`bits of llama workers (${native.reason ?? "built"})`, () => {
  describe.each(native.reason === undefined ? smallModels(folder) : [])("$name", (model) => {
    let gate: Gate;
    beforeAll(async () => {
      gate = new Gate(await llamaSubject(model, COUNT));
    }, 600_000);
    afterAll(() => gate.close());

    it.each(gateWays(hereRungs()).filter(({ name }) => IS_LONG || SHORT.includes(name)))(
      "$name: $expects",
      async (way) => expect(await gate.run(way)).toMatchObject({ problems: [] }),
      3_600_000,
    );
  });

  describe.each(native.reason === undefined ? smallModels(folder) : [])("$name, not in exact mode", (model) => {
    it("goes on from another engine's blocks, one after the other, as from its own", async () => {
      const { asks } = await inexactSubject(model, IS_LONG ? 200 : 12);
      expect(await serialRun(model, asks)).toMatchObject({ differing: [] });
    }, 600_000);

    it.runIf(IS_LONG)(
      "differs at full concurrency no more than one worker in steps of another shape",
      async () => {
        const gate = new Gate(await inexactSubject(model, 400));
        const [alone, , split] = gateWays(hereRungs());
        const control = await gate.score(alone!);
        const found = await gate.score(split!);
        await gate.close();
        expect(noiseProblems(found, control)).toEqual([]);
      },
      3_600_000,
    );
  });
});
