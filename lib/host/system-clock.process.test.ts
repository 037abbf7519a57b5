import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const SCRIPT = `
import { systemClock } from "#lib/host/system-clock";
setTimeout(() => process.stdout.write("something else\\n"), 500);
let turns = 0;
const again = () => (++turns < 10 ? systemClock.after(0, again) : process.stdout.write("no delay\\n"));
again();
`;

test("no delay waits for nothing else, also in a process that has nothing else to do", () => {
  const said = execFileSync(process.execPath, ["--input-type=module", "--eval", SCRIPT], { encoding: "utf8" });
  expect(said.trim().split("\n")).toEqual(["no delay", "something else"]);
});
