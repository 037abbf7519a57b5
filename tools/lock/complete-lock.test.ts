import { expect, test } from "vitest";

// Plain JavaScript, because it must run where npm ci did not: its types are stated here.
const { completeLock, parsePlatform } = (await import("./complete-lock.mjs" as string)) as {
  completeLock(lock: object): { lock: { packages: Record<string, object> }; added: number };
  parsePlatform(name: string): object;
};

test.each([
  ["@biomejs/cli-linux-arm64-musl", { os: ["linux"], cpu: ["arm64"], libc: ["musl"] }],
  ["@oxlint/binding-linux-x64-gnu", { os: ["linux"], cpu: ["x64"], libc: ["glibc"] }],
  ["@oxc-parser/binding-linux-arm-musleabihf", { os: ["linux"], cpu: ["arm"], libc: ["musl"] }],
  ["@oxc-parser/binding-openharmony-arm64", { os: ["openharmony"], cpu: ["arm64"] }],
  ["@bufbuild/buf-linux-aarch64", { os: ["linux"], cpu: ["arm64"] }],
  ["@oxlint-tsgolint/win32-x64", { os: ["win32"], cpu: ["x64"] }],
  ["@rolldown/binding-wasm32-wasi", { cpu: ["wasm32"] }],
  ["nanoid", {}],
])("%s is for %j", (name, platform) => {
  expect(parsePlatform(name)).toEqual(platform);
});

test("a lock gets its missing platforms and loses addresses and engines, but for our own", () => {
  const tool = { version: "1.0.0", dev: true, license: "MIT", optionalDependencies: { "tool-darwin-x64": "1.0.0" } };
  const before = {
    packages: {
      "": { engines: { node: ">=20" } },
      "node_modules/tool": { ...tool, resolved: "somewhere", engines: { node: ">=22" } },
    },
  };
  const { lock, added } = completeLock(before);
  expect(added).toBe(1);
  expect(lock.packages[""]).toEqual({ engines: { node: ">=20" } });
  expect(lock.packages["node_modules/tool"]).toEqual(tool);
  expect(lock.packages["node_modules/tool-darwin-x64"]).toEqual({
    version: "1.0.0",
    cpu: ["x64"],
    dev: true,
    license: "MIT",
    optional: true,
    os: ["darwin"],
  });
  expect(completeLock(lock).added).toBe(0);
});

test("a package whose name tells no platform is a mistake to mend by hand", () => {
  const packages = { "node_modules/tool": { optionalDependencies: { nanoid: "1.0.0" } } };
  expect(() => completeLock({ packages })).toThrow("nanoid");
});
