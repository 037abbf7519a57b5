import { RouterService } from "#gen/stator/router/v1/router_pb";
import { StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import type { Client } from "#lib/rpc/client";
import type { CaptureCounts } from "../capture/about.ts";
import { NumberedNames, SaltedNames } from "../capture/names.ts";
import { Recorder } from "../capture/recorder.ts";
import type { Command, CommandContext } from "../command.ts";
import { cutToWidth } from "../display-width.ts";
import { printDuration } from "../duration.ts";
import { askOperators, OPERATOR_KEYS, OPERATOR_SAYS } from "../operators.ts";

/** Blocks whose numbers are remembered, about 100 bytes each. */
const NAMED_BLOCKS = 2_000_000;
/** Prompts that are held back until earlier ones have ended. */
const HELD_PROMPTS = 16_384;
/** How long the last word of a frontend is waited for. */
const LAST_WORD_MS = 2_000;

/** `stator capture`: what a running frontend routes, as a trace. */
export const capture: Command = {
  arguments: "[HOST:PORT]",
  help:
    "Writes a line for each request that comes from now on and ends: when it came, its lengths, which of its blocks it shares\n" +
    "with others, where it went, what was foreseen and what came. Never a text: blocks and sessions are numbers, or with\n" +
    "--salted hashes by which several files can be joined. Beside FILE there is FILE.about.json: the workers, how fast they\n" +
    "are, the rule, and what was left out. Ctrl-C ends it in order.",
  says: OPERATOR_SAYS,
  options: ["out", "for", "max-bytes", "decisions", "salted", ...OPERATOR_KEYS],
  async run(context) {
    const { values, positional, print, screen } = context;
    const startedMs = systemClock.nowMs();
    const path = values.out ?? `capture-${stamp(systemClock.unixMs())}.jsonl`;
    const { salted } = values;
    const recorder = new Recorder({
      ...{ path, maxBytes: values["max-bytes"], held: HELD_PROMPTS },
      names: salted === undefined ? new NumberedNames(NAMED_BLOCKS) : new SaltedNames(salted),
      naming: salted === undefined ? "numbers" : "salted",
    });
    const passed = (): number => systemClock.nowMs() - startedMs;
    const showing = { path, forMs: values.for, passed };
    let ended = "the frontend was lost";
    try {
      ended = await askOperators(RouterService, values, {
        ask: (router) => record(router, recorder, { context, showing }),
        target: positional[0],
      });
    } finally {
      recorder.close({ ended, seconds: Math.round(passed()) / 1_000 });
      screen.show(() => []);
      if (recorder.hasBegun) print(`${path}: ${describe(recorder.counts)}`);
    }
    return 0;
  },
};

/** What is shown while it goes on. */
interface Showing {
  readonly path: string;
  readonly forMs: number;
  /** Milliseconds since it began. */
  readonly passed: () => number;
}

/** Until the time is up, the file is full or somebody says so; returns which. */
async function record(
  router: Client<typeof RouterService>,
  recorder: Recorder,
  { context, showing }: { readonly context: CommandContext; readonly showing: Showing },
): Promise<string> {
  const { values, screen, stopped, print } = context;
  const leave = new AbortController();
  let why: string | undefined;
  // The next word on how it stands is the last: it says what was open.
  const end = (because: string): void => {
    why ??= because;
    systemClock.after(LAST_WORD_MS, () => leave.abort());
  };
  const timer = systemClock.after(showing.forMs, () => end("time"));
  const endAsked = () => end("asked");
  stopped.then(endAsked, endAsked);
  try {
    const told = router.capture({ decisions: values.decisions }, { signal: leave.signal });
    for await (const { content } of told) {
      if (content.case === "header") {
        recorder.header(content.value);
        print(`Capturing for ${printDuration(showing.forMs)}; Ctrl-C ends it.`);
      }
      if (content.case === "prompt") recorder.prompt(content.value);
      if (content.case === "state") {
        recorder.state(content.value);
        screen.show((columns) => [cutToWidth(progress(recorder.counts, showing), columns)]);
        if (why !== undefined) break;
      }
      if (recorder.isFull) why ??= "size";
      if (why === "size") break;
    }
  } catch (error) {
    if (why === undefined) throw error;
  } finally {
    timer.cancel();
  }
  await sayRanks(router, recorder);
  return why ?? "the frontend ended it";
}

/** Asks once more how fast the ranks are: a frontend learns it while it goes on. Where it is gone, what was said holds. */
async function sayRanks(router: Client<typeof RouterService>, recorder: Recorder): Promise<void> {
  try {
    for await (const { content } of router.capture({}, { timeoutMs: LAST_WORD_MS })) {
      if (content.case === "header") recorder.header(content.value);
      break;
    }
  } catch (error) {
    if (!(error instanceof StatorError)) throw error;
  }
}

function progress(counts: CaptureCounts, { path, forMs, passed }: Showing): string {
  const time = `${printDuration(Math.round(passed() / 1_000) * 1_000)} of ${printDuration(forMs)}`;
  return `  ${time}  ${path}: ${describe(counts)}`;
}

/** What there is, and what is not in it. */
function describe(counts: CaptureCounts): string {
  const { rows, bytes, open, lost, late, without_answer: without } = counts;
  const missing: [number, string][] = [
    [open, "open"],
    [lost, "lost"],
    [late, "too late"],
    [without, "without an answer"],
  ];
  const left = missing.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`);
  return `${rows} rows, ${(bytes / 1e6).toFixed(1)} MB${left.join("")}`;
}

/** A time in the name of a file. */
function stamp(unixMs: number): string {
  return new Date(unixMs).toISOString().slice(0, 19).replaceAll(":", "").replace("T", "-");
}
