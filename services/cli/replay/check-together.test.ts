import { expect, test } from "vitest";
import { resolveConfig } from "#lib/host/config/resolve";
import { OPTIONS } from "../compose/options.ts";
import { checkTogether } from "./check-together.ts";

function check(args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  checkTogether(resolveConfig(OPTIONS, { args, env, file: undefined }).config);
}

test.each([
  [["--compare"], /^--compare needs two rules/],
  [["--compare", "--rule", "ttft,ttft"], /^--compare needs two rules/],
  [["--tune", "temperature=1,2", "--explain", "1"], /^--tune replays with many seeds/],
  [["--sessions", "second-block", "--trace-format", "mooncake-delta"], /^--sessions second-block finds/],
  [["--synthetic", "groups=2", "--trace-format", "mooncake-delta"], /^--trace-format is that of a file/],
  [["--synthetic", "groups=2", "--sessions", "second-block"], /^--sessions second-block is for traces/],
  [["--synthetic", "turns=2"], /^A turn in delta form .* --sessions rows, or --concurrency/],
  [["--trace-format", "mooncake-delta"], /^A turn in delta form/],
  [["--router-only", "--workers", "4"], /^--router-only makes .*: --workers says nothing there/],
  [["--router-only", "--router-temperature", "4"], /--router-temperature says nothing there/],
  [["--router-only", "--synthetic", "groups=2"], /--synthetic says nothing there/],
  [["--router-only", "--rule", "ttft,dynamo"], /^--router-only takes one rule/],
])("options that say nothing together are refused in one sentence: %j", (args, said) => {
  expect(() => check(args)).toThrow(said);
});

test.each([
  [["--compare", "--rule", "ttft,dynamo"]],
  [["--trace-format", "mooncake-delta", "--sessions", "rows"]],
  [["--trace-format", "mooncake-delta", "--concurrency", "8"]],
  [["--synthetic", "turns=2", "--concurrency", "8"]],
  [["--concurrency", "8", "--sessions", "second-block"]],
  [["--router-only", "--rule", "dynamo", "--json"]],
])("options that go together are let through: %j", (args) => {
  check(args);
});

test("what a variable says for other commands does not stop --router-only", () => {
  check(["--router-only"], { STATOR_WORKERS: "4" });
});
