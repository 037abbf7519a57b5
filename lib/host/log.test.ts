import { expect, test } from "vitest";
import { createLog, type LogDial, type LogOptions } from "./log.ts";

const speaker = { role: "worker", name: "worker-1", pid: 4711 };

function write(options: Partial<LogOptions>): string[] {
  const lines: string[] = [];
  const log = createLog({ level: "info", pretty: true, speaker, write: (line) => void lines.push(line), ...options });
  log.with({ model: "m" }).info("model ready", { instance: 255n });
  log.warn("healed");
  log.debug("not written");
  return lines;
}

test("every line says who speaks", () => {
  const [line, ...more] = write({ pretty: false }).map((each) => JSON.parse(each) as Record<string, unknown>);
  expect(line).toMatchObject({ ...speaker, level: "info", phrase: "model ready", model: "m" });
  expect(line?.instance).toBe("00000000000000ff");
  expect(more).toHaveLength(1);
  expect(write({})[0]).toMatch(/^[\d:.]+ info {2}worker-1 4711: model ready model=m instance=00000000000000ff\n$/);
  const elsewhere = { ...speaker, name: "host-7" };
  expect(write({ speaker: elsewhere })[0]).toContain("info  worker host-7 4711: model ready");
});

test("on a terminal the word for a warning has a colour, and nothing else", () => {
  const [plain, colored] = write({ colors: true });
  expect(plain).not.toContain("\x1b");
  expect(colored).toContain(" \x1b[33mwarn \x1b[39m worker-1 4711: healed");
});

test("a level that is turned holds from the next line on, also for logs that were made before", () => {
  const dial: LogDial = { level: "warn" };
  const lines: string[] = [];
  const log = createLog({ level: dial, pretty: true, write: (line) => void lines.push(line) });
  const bound = log.with({ model: "m" });
  bound.info("too early");
  dial.level = "debug";
  expect(bound.enabled("debug")).toBe(true);
  bound.debug("in time");
  dial.level = "silent";
  bound.error("too late");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("in time model=m");
});
