import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  CodeGeneratorRequestSchema,
  type FileDescriptorProto,
  type FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FileOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { StatorError } from "#lib/base/errors";
import type { Language, Project, Recipe } from "./recipe.ts";
import { RECIPES } from "./recipes.ts";

/** What stubs are wanted. */
export interface StubWish {
  /** For this language. */
  readonly language: Language;
  /** Name of the package in the language; the recipe's own when absent. */
  readonly packageName?: string | undefined;
  /** Whether contracts that others own are in it too: openengine.v1, inference, and what the language's gRPC library lacks. */
  readonly foreign?: boolean | undefined;
}

/** What is made of a wish and the contracts, before any tool runs. */
export interface StubPlan {
  /** The recipe of the language. */
  readonly recipe: Recipe;
  /** The package to be. */
  readonly project: Project;
  /** Files that stubs are generated of, by their paths in the contracts, each behind what it imports. */
  readonly sources: readonly string[];
  /** A FileDescriptorSet of them and all that they import, with the options of the language. */
  readonly image: Uint8Array;
  /** The same without comments, for programs that read contracts while they run. */
  readonly descriptors: Uint8Array;
  /** Files that no tool makes, by path in the package. */
  readonly files: Readonly<Record<string, string>>;
  /** A CodeGeneratorRequest with this parameter. */
  request(parameter: string): Uint8Array;
}

/** Contracts that others own and that no language has in a library of its own. */
const FOREIGN = ["openengine.v1", "inference"];

/**
 * Plans the stubs of a wish. `contracts` is a FileDescriptorSet of all contracts, each file behind what it imports.
 * Throws BAD_CONFIG for a name that the language does not allow, and CORRUPT for an image that is none.
 */
export function planStubs(wish: StubWish, contracts: Uint8Array, version: string): StubPlan {
  const recipe = RECIPES[wish.language];
  const name = wish.packageName ?? recipe.initialName;
  const foreign = wish.foreign ?? false;
  if (!recipe.isName(name)) {
    throw new StatorError("BAD_CONFIG", { detail: `--package ${name} is no name: give ${recipe.nameIs}.` });
  }
  const all = readImage(contracts);
  const wanted = all.filter((file) => isWanted(file.package, recipe, foreign));
  const needed = closure(all, wanted);
  for (const file of wanted) setOptions(file, recipe, name);
  const packages = [...new Set(wanted.map((file) => file.package))].sort();
  const served = [...new Set(wanted.filter((file) => file.service.length > 0).map((file) => file.package))].sort();
  const project = { name, version, foreign, packages, served };
  const sources = wanted.map((file) => file.name);
  const request = (parameter: string): Uint8Array =>
    toBinary(
      CodeGeneratorRequestSchema,
      create(CodeGeneratorRequestSchema, { fileToGenerate: sources, parameter, protoFile: needed }),
    );
  const image = printImage(needed);
  const descriptors = printImage(needed.map(({ sourceCodeInfo: _, ...file }) => file));
  return { recipe, project, sources, image, descriptors, files: recipe.files(project), request };
}

function readImage(contracts: Uint8Array): FileDescriptorProto[] {
  let file: FileDescriptorProto[];
  try {
    ({ file } = fromBinary(FileDescriptorSetSchema, contracts));
  } catch (cause) {
    throw new StatorError("CORRUPT", { what: "The image of the contracts", detail: "it cannot be read" }, { cause });
  }
  if (file.some((each) => each.package.startsWith("stator."))) return file;
  throw new StatorError("CORRUPT", { what: "The image of the contracts", detail: "it has no package of Stator" });
}

function printImage(file: readonly MessageInitShape<typeof FileDescriptorProtoSchema>[]): Uint8Array {
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...file] }));
}

function isWanted(proto: string, { lacks }: Recipe, foreign: boolean): boolean {
  return proto.startsWith("stator.") || (foreign && (FOREIGN.includes(proto) || lacks.includes(proto)));
}

/** The files and all that they import, in the order of the image. */
function closure(all: readonly FileDescriptorProto[], wanted: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const names = new Set(wanted.map((file) => file.name));
  for (const file of [...all].reverse()) {
    if (names.has(file.name)) for (const imported of file.dependency) names.add(imported);
  }
  return all.filter((file) => names.has(file.name));
}

function setOptions(file: FileDescriptorProto, recipe: Recipe, name: string): void {
  const target = recipe.target({ path: file.name, package: file.package }, name);
  file.options ??= create(FileOptionsSchema);
  if (target.goPackage !== undefined) file.options.goPackage = target.goPackage;
  if (target.javaPackage !== undefined) file.options.javaPackage = target.javaPackage;
  if (target.javaOuterClassname !== undefined) {
    file.options.javaOuterClassname = target.javaOuterClassname;
    file.options.javaMultipleFiles = true;
  }
}
