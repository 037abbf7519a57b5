import { pick } from "#lib/base/chance";
import type { MockModel } from "#lib/engines/mock/mock-engine";
import { plainAsk } from "#lib/serving/plain-ask";
import { checkClient } from "./checks.ts";
import type { Client } from "./client.ts";
import type { FaultName } from "./faults.ts";
import type { SimulatedFrontend } from "./frontend.ts";
import { Oracle } from "./oracle.ts";
import { checkRouting } from "./routing-checks.ts";
import { MODEL, WEIGHTS } from "./weights.ts";
import { World } from "./world.ts";

/** What became of one world. */
export interface Simulated {
  /** What must not be, one sentence each. */
  readonly complaints: readonly string[];
  /** Of its trace, when that is written; the same for the same seed. */
  readonly hash: string;
  /** Those that this world could have, drawn from its seed. */
  readonly faults: readonly FaultName[];
  /** Requests by how they ended: finished, cancelled, lost with their frontend, or the reason of their error. */
  readonly ends: ReadonlyMap<string, number>;
  /** Choices that began on one worker and went on on another. */
  readonly migrations: number;
  /** Prompts that went on elsewhere as they should. */
  readonly handOffs: number;
  /** Blocks that came from other workers, by way; and fetches that brought less than there was, by reason. */
  readonly transfers: ReadonlyMap<string, number>;
}

/** What lives a world. */
export interface SimulateOptions {
  /** What the mocks of all workers borrow. */
  readonly model: MockModel;
  /** Takes the lines of its trace. */
  readonly write?: (line: string) => void;
  /** Things that happen, of which a third are requests; 90 unless given, and at most 2,000. */
  readonly acts?: number;
}

const ACTS = 90;
/** Longest time for what is left to come to its end when nothing is wrong any more. */
const MOST_RECOVERY_MS = 60_000;
/** Longest time for a request when nothing is mended: three attempts until each worker is suspect, slow ones late, and a search. */
const MOST_WAIT_MS = 90_000;
const LOOK_MS = 500;
/** A step of every engine while clients leave, and how soon nothing runs for them: less than the answer would take. */
const LEAVE_STEP_MS = 100;
const LEAVE_MS = 200;
/** Closing takes no longer. */
const CLOSE_MS = 1_000;

/** Lives one world from its seed. */
export async function simulate(seed: number, options: SimulateOptions): Promise<Simulated> {
  const { acts = ACTS } = options;
  const world = new World(seed, options);
  await live(world, acts);
  const complaints = [
    ...(await waitOut(world)),
    ...(await settle(world)),
    ...(await clear(world)),
    ...(await leave(world)),
    ...checkClients(world),
    ...checkTransfers(world),
    ...(await close(world)),
  ];
  const transfers = countTransfers(world);
  const migrations = world.frontends.reduce((sum, one) => sum + (one.dispatcher?.ledger.totals.migrations ?? 0), 0);
  const told = { hash: world.trace.hash, faults: world.faults, ends: countEnds(world) };
  return { complaints, ...told, migrations, handOffs: countHandOffs(world), transfers };
}

/** Requests, faults and what mends them, in the order and at the moments that the seed draws. */
async function live(world: World, acts: number): Promise<void> {
  const { chance } = world;
  // Most worlds begin when everybody is there, and some when nobody is.
  if (world.faults.length === 0 || pick(chance, 3) > 0) await world.pass(1_000);
  for (let act = 0; act < acts; act++) {
    world.act();
    const isLong = pick(chance, 12) === 0;
    await world.pass(pick(chance, isLong ? 2_500 : 60));
  }
}

/** Nobody mends what is wrong: every request ends all the same, unless its frontend cannot move. */
async function waitOut(world: World): Promise<string[]> {
  const isOpen = ({ isOver }: Client) => !isOver;
  const findOpen = () => world.movingFrontends.flatMap(({ clients }) => clients.filter(isOpen));
  for (let ms = 0; ms < MOST_WAIT_MS && findOpen().length > 0; ms += LOOK_MS) await world.pass(LOOK_MS);
  return findOpen().map(({ ask }) => `${ask.requestId} waits for ever for what is not mended`);
}

/** Nothing is wrong any more: every request ends, a new one is answered, and nobody holds anything for either. */
async function settle(world: World): Promise<string[]> {
  const complaints: string[] = [];
  await until(world, () => isAnswered(world) && world.isWhole);
  if (!world.isWhole) complaints.push("the world does not recover");
  const probes = world.livingFrontends.map((frontend) => sendProbe(world, frontend, 6));
  await until(world, () => isAnswered(world));
  for (const { ask, usage, error } of probes) {
    if (!usage) complaints.push(`${ask.requestId} is not answered when nothing is wrong: ${error?.message}`);
  }
  for (const { clients } of world.frontends) {
    for (const { ask } of clients.filter(({ isOver }) => !isOver)) complaints.push(`${ask.requestId} does not end`);
  }
  const look = () => [...findHeld(world), ...findKept(world), ...checkRouting(world)];
  await until(world, () => look().length === 0);
  return [...complaints, ...look()];
}

/** Every cache is cleared: each engine had what it had told of, and soon nobody knows anything of it. */
async function clear(world: World): Promise<string[]> {
  const complaints: string[] = [];
  for (const worker of world.livingWorkers) {
    const told = worker.blocks.size;
    const { cleared, kept } = worker.clearCache();
    if (kept > 0) complaints.push(`${kept} blocks of ${worker.name} are in use when nothing runs`);
    if (cleared !== told) complaints.push(`${worker.name} told of ${told} blocks, and ${cleared} were in its pool`);
    if (!worker.hasWholePool) complaints.push(`blocks of ${worker.name} are neither free nor anybody's`);
  }
  await until(world, () => checkRouting(world).length === 0);
  return [...complaints, ...checkRouting(world)];
}

/** A client leaves, or its frontend is killed: nobody computes for it any more. */
async function leave(world: World): Promise<string[]> {
  const { livingFrontends, livingWorkers } = world;
  for (const { mood } of livingWorkers) mood.slow(MOST_RECOVERY_MS / LEAVE_STEP_MS, LEAVE_STEP_MS);
  const clients = livingFrontends.map((frontend) => sendProbe(world, frontend, 100));
  const isRunning = ({ choices }: Client): boolean => choices[0]!.tokens.length > 0;
  for (let ms = 0; ms < MOST_RECOVERY_MS && !clients.every(isRunning); ms += LOOK_MS) await world.pass(LOOK_MS);
  for (const [at, frontend] of livingFrontends.entries()) {
    if (pick(world.chance, 2) === 0) frontend.kill();
    else clients[at]!.cancel();
  }
  await world.pass(LEAVE_MS);
  const held = findHeld(world);
  for (const { mood } of livingWorkers) mood.mend();
  // What was to go on elsewhere is kept for its lease.
  await until(world, () => findKept(world).length === 0);
  return [...held, ...findKept(world)];
}

/** Mends and waits until it is so, but not for ever. */
async function until(world: World, isSo: () => boolean): Promise<void> {
  for (let ms = 0; ms < MOST_RECOVERY_MS && !isSo(); ms += LOOK_MS) {
    world.recover();
    await world.pass(LOOK_MS);
  }
}

function isAnswered({ frontends }: World): boolean {
  return frontends.every(({ clients }) => clients.every((client) => client.isOver));
}

function sendProbe({ tokenizer }: World, frontend: SimulatedFrontend, maxTokens: number): Client {
  const prompts = [Uint32Array.from({ length: 20 }, (_, at) => at)];
  const requestId = `probe-${frontend.name}-${maxTokens}`;
  return frontend.send(plainAsk({ requestId, model: MODEL, tokenizer, prompts, maxTokens, ignoreEos: true }));
}

function checkClients(world: World): string[] {
  const words = new Set(world.plans.map(({ weights }) => weights.word));
  const oracles = WEIGHTS.filter(({ word }) => words.has(word)).map((weights) => new Oracle(world.model, weights));
  return world.frontends.flatMap(({ clients, clock, dispatcher, state, wasKilled }) => {
    const records = Map.groupBy(dispatcher?.ledger.latest(1_000) ?? [], ({ requestId }) => requestId);
    const shared = {
      oracles,
      isCalm: world.faults.length === 0,
      wasClosed: state === "closed",
      wasStill: clock.wasStill,
    };
    return clients.flatMap((client) => {
      const own = wasKilled ? undefined : (records.get(client.ask.requestId) ?? []);
      return checkClient(client, { ...shared, records: own });
    });
  });
}

/** What is held for requests when all have ended: one sentence each. */
function findHeld(world: World): string[] {
  const held: string[] = [];
  const expectNone = (count: number, what: string) => {
    if (count !== 0) held.push(`${count} ${what} when all requests have ended`);
  };
  for (const frontend of world.livingFrontends) {
    const { name, dispatcher } = frontend;
    expectNone(dispatcher?.openRequests ?? 0, `requests are open at ${name}`);
    expectNone(dispatcher?.placedChoices ?? 0, `choices are placed by ${name}`);
    expectNone(frontend.gauge("stator_dispatch_waiting_requests"), `requests wait at ${name}`);
    for (const { instance, openRequests } of dispatcher?.workers() ?? []) {
      expectNone(openRequests, `requests are open on the link of ${name} to ${instance?.address}`);
    }
  }
  for (const { name, board } of world.livingWorkers) {
    expectNone(board?.open ?? 0, `requests are open on the board of ${name}`);
    expectNone(board?.metrics?.runningRequests ?? 0, `requests run in the engine of ${name}`);
    expectNone(board?.metrics?.waitingRequests ?? 0, `requests wait in the engine of ${name}`);
  }
  return held;
}

/** What workers keep for others, and who waits for it: one sentence each. */
function findKept({ livingWorkers }: World): string[] {
  return livingWorkers.flatMap(({ name, plane }) => {
    const { openSessions = 0, pinnedBlocks = 0 } = plane?.agent.load ?? {};
    const waiting = plane?.meter.read("stator_transfer_waiting") ?? 0;
    return openSessions + pinnedBlocks + waiting === 0
      ? []
      : [`${name} keeps ${openSessions} sessions and ${pinnedBlocks} blocks, and ${waiting} wait there, for nobody`];
  });
}

/** Everybody leaves in order, and nothing is left to be done. */
async function close(world: World): Promise<string[]> {
  const complaints: string[] = [];
  for (const frontend of world.livingFrontends) frontend.close();
  await world.pass(CLOSE_MS);
  for (const { name, links } of world.livingWorkers) {
    if (links > 0) complaints.push(`${name} has ${links} links when all frontends are closed`);
  }
  for (const worker of world.livingWorkers) worker.drain(0);
  await world.pass(CLOSE_MS);
  for (const process of [...world.frontends, ...world.workers]) {
    complaints.push(...process.complaints);
    if (process.isAlive) complaints.push(`${process.name} does not close`);
  }
  world.store.close();
  await world.pass(0);
  const { pending } = world.clock;
  if (pending > 0) complaints.push(`${pending} calls wait in the clock when everybody is closed`);
  return complaints;
}

function countEnds(world: World): ReadonlyMap<string, number> {
  const ends = new Map<string, number>();
  for (const { clients } of world.frontends) {
    for (const client of clients) ends.set(endOf(client), (ends.get(endOf(client)) ?? 0) + 1);
  }
  return ends;
}

/** Where nothing goes wrong blocks come, but for want of room in a pool. */
function checkTransfers({ faults, workers }: World): string[] {
  if (faults.length > 0) return [];
  return workers.flatMap(({ name, plane }) =>
    [...(plane?.meter.counts("stator_transfer_failures_total") ?? [])]
      .filter(([reason]) => reason !== "LIMIT")
      .map(([reason, count]) => `${count} fetches of ${name} failed when nothing was wrong: ${reason}`),
  );
}

function countHandOffs({ frontends }: World): number {
  const records = frontends.flatMap(({ dispatcher }) => dispatcher?.ledger.latest(1_000) ?? []);
  return records.filter(({ handOff }) => handOff !== undefined).length;
}

function countTransfers({ workers }: World): ReadonlyMap<string, number> {
  const transfers = new Map<string, number>();
  for (const { plane } of workers) {
    for (const name of ["stator_transfer_blocks_total", "stator_transfer_failures_total"]) {
      for (const [label, count] of plane?.meter.counts(name) ?? []) {
        transfers.set(label, (transfers.get(label) ?? 0) + count);
      }
    }
  }
  return transfers;
}

function endOf({ usage, error, isCancelled }: Client): string {
  if (usage) return "finished";
  return error?.reason ?? (isCancelled ? "cancelled" : "lost");
}
