/** Languages that stubs are made for, by the word that an option takes. */
export const LANGUAGES = ["python", "go", "java", "rust", "typescript"] as const;

/** One of them. */
export type Language = (typeof LANGUAGES)[number];

/** What the tools run on. */
export interface Machine {
  /** Processor in Node's words, such as x64 and arm64. */
  readonly arch: string;
}

/** A program that the machine has by itself, and that is looked for on PATH. */
export interface MachineTool {
  /** Its name on PATH. */
  readonly command: string;
  /** Arguments that make it print its version. */
  readonly versionArgs: readonly string[];
  /** The least version that will do, such as 1.25. */
  readonly least: string;
  /** What to do where it is missing or older, one sentence. */
  readonly bring: string;
  /** True: it runs the tools as well and is part of what they are kept by; false: it only makes them. */
  readonly runs: boolean;
}

/** A command line. `{tools}` in an argument is the folder of the tools, `{out}` that of the output, `{image}` a file. */
export interface CommandLine {
  /** Program and arguments. */
  readonly words: readonly string[];
  /** Variables beside those of this process, with the same places in them. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The pinned tools of one language: made once into a folder that is kept by this description. */
export interface ToolSet {
  /** What is made, for people, with versions. */
  readonly title: string;
  /** How long that takes when nothing is there yet, for people. */
  readonly takes: string;
  /** What the machine must have for it. */
  readonly machine: readonly MachineTool[];
  /** Files that lie in the folder before the first step, by path. */
  readonly files: Readonly<Record<string, string>>;
  /** Run one after the other in the folder. */
  readonly steps: readonly CommandLine[];
  /** SHA-256 in hex of what was downloaded by those who check nothing themselves, by path in the folder. */
  readonly digests: Readonly<Record<string, string>>;
  /** Paths in the folder that are made executable. */
  readonly executables: readonly string[];
  /** A package of npm that is used in place of the folder where this install has it at this version. */
  readonly beside?: { readonly name: string; readonly version: string };
}

/** A tool says its version, where it can. */
export interface VersionProbe {
  /** How it is asked. */
  readonly command: CommandLine;
  /** What the answer must contain. */
  readonly expected: string;
}

/** One run of a tool that writes stubs. */
export interface Generator {
  /** Its name for people. */
  readonly title: string;
  /** Plugins get one CodeGeneratorRequest and answer it; the compiler reads the image, gets the file names last and writes `{out}`. */
  readonly kind: "plugin" | "compiler";
  /** What is run. */
  readonly command: CommandLine;
  /** The parameter of a plugin. */
  readonly parameter: string;
  /** Folder of the package that its files belong to; empty for the package itself. */
  readonly under: string;
  /** Asked before it runs. */
  readonly probe: VersionProbe | undefined;
}

/** What the package to be is called and holds. */
export interface Project {
  /** Its name in the language. */
  readonly name: string;
  /** Version of this program, which its contracts are of. */
  readonly version: string;
  /** Whether contracts that others own are in it. */
  readonly foreign: boolean;
  /** Protobuf packages that are in it, sorted. */
  readonly packages: readonly string[];
  /** Those of them that have services. */
  readonly served: readonly string[];
}

/** What a file of a contract says of one language. */
export interface FileTarget {
  /** `go_package`. */
  readonly goPackage?: string;
  /** `java_package`. */
  readonly javaPackage?: string;
  /** `java_outer_classname`; each message has a file of its own then. */
  readonly javaOuterClassname?: string;
}

/** How stubs of one language are made: all that is known of the language stands in its recipe. */
export interface Recipe {
  /** The word for it. */
  readonly language: Language;
  /** Its name. */
  readonly title: string;
  /** Name of the package when nobody gave one. */
  readonly initialName: string;
  /** What a name is, as the end of "a name is …". */
  readonly nameIs: string;
  /** Whether a text is a name. */
  isName(name: string): boolean;
  /** Packages of others that are generated, beside those that nobody has, because the language's gRPC library lacks them. */
  readonly lacks: readonly string[];
  /** Options of one file of a contract. */
  target(file: { readonly path: string; readonly package: string }, name: string): FileTarget;
  /** The tools for a machine; undefined where there are none. */
  tools(machine: Machine): ToolSet | undefined;
  /** Runs of them, in order, on a machine that has tools. */
  generators(name: string, machine: Machine): readonly Generator[];
  /** Where the package has an image of its contracts, without comments; absent where generated code carries it. */
  readonly descriptors?: string;
  /** Files beside the generated ones, by path: project file, an example that calls, README.md. */
  files(project: Project): Readonly<Record<string, string>>;
}
