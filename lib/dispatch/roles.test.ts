import { describe, expect, it } from "vitest";
import { InstanceState, WorkerRole } from "#gen/stator/discovery/v1/discovery_pb";
import { PracticeRooms } from "#lib/conform/practice-rooms";
import { type Disaggregation, USUAL_DISAGGREGATION } from "#lib/routing/legs/disaggregation";
import { answer, DispatchRig } from "../../test/support/dispatch-rig.ts";

const PROMPT = Array.from({ length: 40 }, (_, at) => at + 1);
const prompts = [Uint32Array.from(PROMPT)];

/** Workers of roles, and the router that is used, which always splits. */
function cluster(roles: Readonly<Record<string, WorkerRole>>, split: Partial<Disaggregation> = {}) {
  const rig = new DispatchRig("kv", { split: { ...USUAL_DISAGGREGATION, bypass: "none", ...split } });
  const rooms = new PracticeRooms();
  const join = (name: string, role: WorkerRole) => {
    const id = BigInt(name);
    rig.add(id, 1n, 1_000, { rooms });
    rig.showCard(id, 1);
    rig.show(id, InstanceState.READY, 1n, role);
    rig.clock.settle();
  };
  for (const [name, role] of Object.entries(roles)) join(name, role);
  const ask = (more = {}) => rig.start({ prompts, tokenizer: "01", maxTokens: 5, ...more });
  const record = () => rig.dispatcher.ledger.latest(1)[0];
  const expectIdle = () => {
    expect([...rig.workers.values()].map(({ openRequests }) => openRequests).filter((open) => open > 0)).toEqual([]);
    expect([rig.dispatcher.openRequests, rig.dispatcher.placedChoices]).toEqual([0, 0]);
  };
  return { rig, ask, join, record, expectIdle };
}

const { PREFILL, DECODE, AGGREGATED } = WorkerRole;

describe("workers of roles behind the router", () => {
  it.each([false, true])("answer as one does, choices and their usage too; at once: %s", (bootstrap) => {
    const { rig, ask, record, expectIdle } = cluster({ 1: PREFILL, 2: DECODE, 3: DECODE }, { bootstrap });
    const { client } = ask({ choicesPerPrompt: 3 });
    rig.advance(500);
    expect(client.tokens.slice(0, 3)).toEqual([0, 1, 2].map((choice) => answer(PROMPT, choice, 5)));
    expect(client.usage).toMatchObject({ promptTokens: 40, completionTokens: 15 });
    expect(record()).toMatchObject({ outcome: "finished", migrations: 0, handOff: { prefillWorker: 1n } });
    expectIdle();
  });

  it("join and leave while requests run, and each is answered whole", () => {
    const { rig, ask, join, expectIdle } = cluster({ 1: PREFILL, 2: DECODE });
    const first = ask({ maxTokens: 30 });
    rig.advance(90);
    join("3", DECODE);
    join("4", PREFILL);
    rig.kill(2n);
    const second = ask({ maxTokens: 30 });
    rig.advance(30);
    rig.kill(1n);
    rig.advance(3_000);
    for (const { client } of [first, second]) expect(client.tokens[0]).toEqual(answer(PROMPT, 0, 30));
    expectIdle();
  });

  it.each([false, true])(
    "answer whole when nobody computes prompts any more, unless that is refused: %s",
    (enforce) => {
      const { rig, ask, record } = cluster({ 1: PREFILL, 2: DECODE, 3: AGGREGATED }, { enforce });
      rig.kill(1n);
      const { client } = ask();
      rig.advance(5_000);
      if (enforce) {
        expect(client.error?.message).toContain("with the role prefill");
        expect([client.error?.reason, client.error?.row.http]).toEqual(["NO_WORKERS", 503]);
      } else {
        expect(client.tokens[0]).toEqual(answer(PROMPT, 0, 5));
        expect(record()?.handOff).toBeUndefined();
      }
    },
  );

  it("are missed by name where none makes answers", () => {
    const { rig, ask } = cluster({ 1: PREFILL });
    const { client } = ask();
    rig.advance(5_000);
    expect(client.error?.message).toContain("with the role decode");
    expect([client.error?.reason, client.error?.row.http]).toEqual(["NO_WORKERS", 503]);
  });

  it("are waited for behind a first token, for as long as a moved request waits", () => {
    const { rig, ask, join } = cluster({ 1: PREFILL, 2: DECODE });
    const { client } = ask();
    rig.advance(5);
    rig.kill(2n);
    rig.advance(9_000);
    expect([client.tokens[0], client.error]).toEqual([answer(PROMPT, 0, 1), undefined]);
    join("5", DECODE);
    rig.advance(2_000);
    expect(client.tokens[0]).toEqual(answer(PROMPT, 0, 5));
    const { client: late } = ask();
    rig.advance(5);
    rig.kill(5n);
    rig.advance(20_000);
    expect(late.error?.reason).toBe("NO_WORKERS");
  });
});
