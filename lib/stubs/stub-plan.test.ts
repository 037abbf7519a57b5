import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponseSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { readPluginAnswer } from "./plugin-answer.ts";
import { LANGUAGES, type Language } from "./recipe.ts";
import { RECIPES } from "./recipes.ts";
import { planStubs } from "./stub-plan.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const FILES = [
  ["google/protobuf/struct.proto", "google.protobuf", []],
  ["grpc/health/v1/health.proto", "grpc.health.v1", []],
  ["inference/infer.proto", "inference", []],
  ["openengine/v1/kv.proto", "openengine.v1", ["google/protobuf/struct.proto"]],
  ["stator/common/v1/common.proto", "stator.common.v1", []],
  ["stator/worker/v1/kv_event.proto", "stator.worker.v1", ["stator/common/v1/common.proto"]],
] as const;

const contracts = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, {
    file: FILES.map(([name, proto, dependency]) => ({
      ...{ name, package: proto, dependency: [...dependency], syntax: "proto3" },
      service: proto.endsWith("worker.v1") ? [{ name: "KvEventService" }] : [],
    })),
  }),
);

const plan = (language: Language, packageName?: string, foreign?: boolean) =>
  planStubs({ language, packageName, foreign }, contracts, "1.2.3");

function optionsIn(language: Language, packageName?: string) {
  const { protoFile } = fromBinary(CodeGeneratorRequestSchema, plan(language, packageName).request(""));
  return Object.fromEntries(protoFile.map(({ name, options }) => [name, options]));
}

describe("what is generated", () => {
  test("ours alone, with what they import and in the order of the image", () => {
    const { sources, project, request } = plan("python");
    expect(sources).toEqual(["stator/common/v1/common.proto", "stator/worker/v1/kv_event.proto"]);
    expect(project).toMatchObject({ packages: ["stator.common.v1", "stator.worker.v1"], served: ["stator.worker.v1"] });
    const sent = fromBinary(CodeGeneratorRequestSchema, request("a=b"));
    expect(sent).toMatchObject({ parameter: "a=b", fileToGenerate: [...sources] });
    expect(sent.protoFile.map(({ name }) => name)).toEqual(sources);
  });

  test("by option those of others, and health only where the language's library lacks it", () => {
    expect(plan("go", undefined, true).project.packages).not.toContain("grpc.health.v1");
    const { project, image } = plan("typescript", undefined, true);
    expect(project.packages).toEqual([
      ...["grpc.health.v1", "inference", "openengine.v1", "stator.common.v1", "stator.worker.v1"],
    ]);
    const names = fromBinary(FileDescriptorSetSchema, image).file.map(({ name }) => name);
    expect(names).toEqual(FILES.map(([name]) => name));
  });

  test("a package of Go is named by its path, and without its version alone", () => {
    expect(optionsIn("go", "example.com/team/stubs")["stator/worker/v1/kv_event.proto"]?.goPackage).toBe(
      "example.com/team/stubs/stator/worker/v1;workerv1",
    );
    expect(optionsIn("python")["stator/worker/v1/kv_event.proto"]?.goPackage).toBe("");
  });

  test("packages of Java go below the name, a file for each message", () => {
    expect(optionsIn("java", "com.team")["stator/worker/v1/kv_event.proto"]).toMatchObject({
      javaPackage: "com.team.stator.worker.v1",
      javaOuterClassname: "KvEventProto",
      javaMultipleFiles: true,
    });
  });

  test("modules of Rust name each file that the plugins write, and none that they do not", () => {
    const { "src/lib.rs": library } = plan("rust").files;
    expect(library?.match(/include!\("(.+)"\)/g)).toEqual([
      'include!("stator/common/v1/stator.common.v1.rs")',
      'include!("stator/worker/v1/stator.worker.v1.rs")',
      'include!("stator/worker/v1/stator.worker.v1.tonic.rs")',
    ]);
  });

  test("descriptors for programs are the contracts without their comments, where no generated code carries them", () => {
    const { recipe, descriptors, image } = plan("rust");
    const { file } = fromBinary(FileDescriptorSetSchema, descriptors);
    expect(file.map(({ name }) => name)).toEqual(
      fromBinary(FileDescriptorSetSchema, image).file.map(({ name }) => name),
    );
    expect(file.filter(({ sourceCodeInfo }) => sourceCodeInfo !== undefined)).toEqual([]);
    expect(plan("rust").files["src/lib.rs"]).toContain(`include_bytes!("${path.basename(recipe.descriptors!)}")`);
  });

  test.each(LANGUAGES)("a package for %s has its name, a README and an example", (language) => {
    for (const foreign of [false, true]) {
      const { files, project } = plan(language, undefined, foreign);
      expect(files["README.md"]).toContain(`# ${project.name}\n`);
      expect(Object.keys(files).filter((name) => /example/i.test(name))).toHaveLength(1);
    }
  });

  test("an image that is none is refused", () => {
    for (const broken of [contracts.subarray(0, 30), new Uint8Array()]) {
      const planned = () => planStubs({ language: "go" }, broken, "1.2.3");
      expect(planned).toThrow("The image of the contracts is damaged");
    }
  });
});

test.each(LANGUAGES)("docs/polyglot.md has the program for %s, and how it is built and run", (language) => {
  const { files } = plan(language, undefined, true);
  const book = readFileSync(path.join(root, "docs/polyglot.md"), "utf8");
  const [, example = ""] = Object.entries(files).find(([name]) => /example/i.test(name)) ?? [];
  expect(book).toContain(example);
  const commands = /```sh\n(.*?)```/s.exec(files["README.md"] ?? "")?.[1]?.replace(/ +#.*/, "");
  expect(book).toContain(commands);
});

describe("names", () => {
  const NAMES: Readonly<Record<Language, readonly [good: readonly string[], bad: readonly string[]]>> = {
    python: [
      ["stubs", "team-stubs", "Team.Stubs_2"],
      ["", "-stubs", "stubs-", "a b", 'a"b', "a\nb"],
    ],
    go: [
      ["example.com/team/stubs", "team.dev"],
      ["stubs", "example.com//x", "example.com/", "e x.com/a", "a.b/c;d", "../a.b"],
    ],
    java: [
      ["com.team", "stubs", "com.team._1"],
      ["", "com..team", "com.class", "1com", "com.team-a", "com.team.", "com.é"],
    ],
    rust: [
      ["stubs", "team-stubs", "r2"],
      ["", "2r", "fn", "self", "a.b", "a b", "async", "a".repeat(65)],
    ],
    typescript: [
      ["stubs", "@team/stubs", "a.b_c"],
      ["", "Stubs", "@team", "@/stubs", ".stubs", "a/b", "a b", "a".repeat(215)],
    ],
  };

  test.each(LANGUAGES)("%s takes what is a name there, and refuses the rest with what one is", (language) => {
    const [good, bad] = NAMES[language];
    for (const name of [...good, RECIPES[language].initialName]) expect(plan(language, name).project.name).toBe(name);
    for (const name of bad) expect(() => plan(language, name)).toThrow(`is no name: give ${RECIPES[language].nameIs}`);
  });
});

describe("the answer of a plugin", () => {
  const answer = (file: readonly { name: string; content?: string; insertionPoint?: string }[], error = "") =>
    toBinary(CodeGeneratorResponseSchema, create(CodeGeneratorResponseSchema, { error, file: [...file] }));

  test("whole files are taken", () => {
    expect([...readPluginAnswer("p", answer([{ name: "a/b.go", content: "x" }]))]).toEqual([["a/b.go", "x"]]);
  });

  test.each([
    ["something else", Buffer.from("usage: p"), "no answer of a plugin"],
    ["an error", answer([], "no such option\nat line 3"), "p said: no such option."],
    ["nothing", answer([]), "without a file"],
    ["a path outside", answer([{ name: "../a" }]), "outside of its folder"],
    ["an absolute path", answer([{ name: "/etc/a" }]), "outside of its folder"],
    ["a file twice", answer([{ name: "a" }, { name: "a" }]), "answered a twice"],
    ["a part of a file", answer([{ name: "a", insertionPoint: "imports" }]), "only whole files"],
    ["too many files", answer([{ name: "a" }, { name: "b" }, { name: "c" }]), "more than 2 files"],
  ])("%s is refused", (_, bytes, sentence) => {
    expect(() => readPluginAnswer("p", bytes, { files: 2 })).toThrow(sentence);
  });
});

describe("pins", () => {
  const read = (name: string): Record<string, never> => JSON.parse(readFileSync(path.join(root, name), "utf8"));

  test("TypeScript's plugin and libraries are those of this repository", () => {
    const { dependencies, devDependencies } = read("package.json") as unknown as Record<string, Record<string, string>>;
    const { beside } = RECIPES.typescript.tools({ arch: "x64" })!;
    expect(beside?.version).toBe(devDependencies?.[beside!.name]);
    const project = JSON.parse(plan("typescript").files["package.json"]!) as Record<string, Record<string, string>>;
    expect({ ...dependencies, ...devDependencies }).toMatchObject({
      ...project?.dependencies,
      ...project?.devDependencies,
    });
  });

  test("the lock of TypeScript's plugin is a part of this repository's", () => {
    const { packages: all } = read("package-lock.json") as unknown as { packages: Record<string, object> };
    const { files } = RECIPES.typescript.tools({ arch: "x64" })!;
    const { "": own, ...rest } = (JSON.parse(files["package-lock.json"]!) as { packages: Record<string, object> })
      .packages;
    expect(all).toMatchObject(rest);
    expect(own).toMatchObject({ dependencies: { "@bufbuild/protoc-gen-es": expect.stringMatching(/^\d/) } });
  });

  test("Java has tools for two processors, each by its digests, and none for others", () => {
    const digests = ["x64", "arm64"].map((arch) => Object.keys(RECIPES.java.tools({ arch })?.digests ?? {}));
    expect(digests.map(({ length }) => length)).toEqual([2, 2]);
    expect(RECIPES.java.tools({ arch: "riscv64" })).toBeUndefined();
  });
});
