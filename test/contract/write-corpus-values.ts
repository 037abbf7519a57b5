// Writes the cases of values into the golden corpus, after a change of the contracts.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "../../tools/run-tool.ts";
import { createValueCases } from "./corpus-values.ts";
import { stubs } from "./typescript/stubs.ts";

const cases = createValueCases(stubs).map((each) => JSON.stringify(each));
const about = "Values of every message of our packages and of those that we serve; npm run corpus:values writes them.";
const text = `{\n"about": ${JSON.stringify(about)},\n"cases": [\n${cases.join(",\n")}\n]\n}\n`;
writeFileSync(path.join(root, "test/contract/corpus/values.json"), text);
