import type { Check } from "../check.ts";
import { claimed, expect } from "../failure.ts";
import type { EngineBench } from "./engine-bench.ts";
import { CODE, codeName, statusOfCall } from "./engine-caller.ts";
import { expectRefused } from "./refusal-checks.ts";

const RULES = "docs/conformance.md";
const NAME = "conform-adapter";
/** One that a double cannot hold. */
const NUMBER = 2n ** 53n + 1n;

/** Adapters that come and go while an engine serves. */
export const LORA_CHECKS: readonly Check<EngineBench>[] = [
  {
    name: "says that it takes no adapters when it takes none",
    sentence: "An engine without adapters answers their calls with FAILED_PRECONDITION.",
    of: RULES,
    async run({ caller, facts: { model } }) {
      claimed(model.supportsLora === false, "supports_lora is not false");
      const adapter = { loraId: 1n, loraName: NAME, sourcePath: "/nowhere" };
      const { code } = await statusOfCall(caller.control.loadLora({ adapter }));
      const isSaid = code === CODE.precondition || code === CODE.unimplemented;
      expect(isSaid, `LoadLora answers ${codeName(code)}`);
    },
  },
  {
    name: "refuses an adapter without a number above 0",
    sentence: "Number of the adapter in cache events, above 0.",
    of: "LoraAdapter.lora_id",
    run: (bench) => refused(bench, { loraId: 0n, loraName: NAME, sourcePath: "/nowhere" }),
  },
  {
    name: "refuses an adapter without an absolute path",
    sentence: "Absolute path of its files on the engine's host.",
    of: "LoraAdapter.source_path",
    run: (bench) => refused(bench, { loraId: 1n, loraName: NAME, sourcePath: "relative" }),
  },
  {
    name: "does not unload an adapter that is not there",
    sentence: "A model, an adapter, a request or a session that the engine does not know is NOT_FOUND.",
    of: RULES,
    async run({ caller, facts: { model } }) {
      claimed(model.supportsLora, "supports_lora is not true");
      const { code } = await statusOfCall(caller.control.unloadLora({ loraName: NAME }));
      expect(code === CODE.notFound, `UnloadLora answers ${codeName(code)}`);
    },
  },
  {
    name: "loads an adapter once, and says so the second time",
    sentence:
      "Loads an adapter. The same id, name and path again change nothing; the same name with another path is refused.",
    of: "LoadLoraRequest",
    async run(bench) {
      const { control } = bench.caller;
      await loaded(bench, async (adapter) => {
        const again = await control.loadLora({ adapter });
        expect(again.alreadyLoaded, "already_loaded is false the second time");
        const other = { ...adapter, sourcePath: "/conform/elsewhere" };
        const { code } = await statusOfCall(control.loadLora({ adapter: other }));
        expect(code === CODE.exists, `the same name with another path gets ${codeName(code)}`);
      });
    },
  },
  {
    name: "keeps the number of an adapter, beyond 2^53 too",
    sentence:
      "Integers of 64 bits are exact beyond 2^53: seeds, sequence numbers, numbers of adapters and names of blocks.",
    of: RULES,
    async run(bench) {
      await loaded(bench, async (adapter) => {
        const { adapters } = await bench.caller.control.listLoras({});
        const found = adapters.find(({ loraName }) => loraName === NAME);
        expect(found, "ListLoras does not name it");
        expect(found.loraId === adapter.loraId, `its number is ${found.loraId}, not ${adapter.loraId}`);
      });
    },
  },
  {
    name: "serves an adapter while it is loaded, and no longer",
    sentence: "Served name of the adapter. Empty: the base model.",
    of: "GenerateRequest.lora_name",
    async run(bench) {
      const ask = { ...bench.greedy(4), loraName: NAME };
      await loaded(bench, async () => void (await bench.caller.whole(ask)));
      expectRefused(await bench.caller.ask(ask), [CODE.notFound]);
    },
  },
];

type Adapter = { readonly loraId: bigint; readonly loraName: string; readonly sourcePath: string };

async function refused({ caller, facts: { model } }: EngineBench, adapter: Adapter): Promise<void> {
  claimed(model.supportsLora, "supports_lora is not true");
  const { code } = await statusOfCall(caller.control.loadLora({ adapter }));
  expect(code === CODE.invalid, `LoadLora answers ${codeName(code)}`);
}

/** Does something while the adapter is loaded, which it is not afterwards. */
async function loaded(bench: EngineBench, act: (adapter: Adapter) => Promise<void>): Promise<void> {
  claimed(bench.facts.model.supportsLora, "supports_lora is not true");
  claimed(bench.adapterPath, "nobody named an adapter that loads (--adapter-path)");
  const { control } = bench.caller;
  const adapter = { loraId: NUMBER, loraName: NAME, sourcePath: bench.adapterPath };
  const first = await control.loadLora({ adapter });
  try {
    expect(!first.alreadyLoaded, "already_loaded is true the first time");
    await act(adapter);
  } finally {
    await control.unloadLora({ loraName: NAME });
  }
}
