import { readme } from "./readme.ts";
import type { Project, Recipe } from "./recipe.ts";

// Newer generated code does not load beside tritonclient 2.73, which holds protobuf below 7.
const PINS = {
  ...{ grpcio: "1.81.1", protobuf: "6.33.6", "googleapis-common-protos": "1.76.0" },
  ...{ typing_extensions: "4.16.0", setuptools: "80.9.0" },
} as const;
// What a package depends on. The tools have it too, so that a package that was made runs beside them as it lies there.
const DEPENDENCIES = [
  ...["grpcio", "grpcio-health-checking", "grpcio-reflection", "grpcio-status"].map(
    (name) => `${name}==${PINS.grpcio}`,
  ),
  ...(["protobuf", "googleapis-common-protos"] as const).map((name) => `${name}==${PINS[name]}`),
];
const COMPILER = ["python3", "-m", "grpc_tools.protoc"] as const;
const ENV = { PYTHONPATH: "{tools}", PYTHONDONTWRITEBYTECODE: "1" } as const;

/** Python: modules by the paths of the contracts, with types, for grpcio. */
export const python: Recipe = {
  language: "python",
  title: "Python",
  initialName: "stator-stubs",
  nameIs: "a distribution of Python, such as team-stubs",
  isName: (name) => /^[a-z\d]([\w.-]*[a-z\d])?$/i.test(name),
  lacks: [],
  target: () => ({}),
  tools: () => ({
    title: `grpcio-tools ${PINS.grpcio} with protobuf ${PINS.protobuf}`,
    takes: "half a minute",
    machine: [
      {
        command: "python3",
        versionArgs: ["--version"],
        least: "3.10",
        bring: "Install Python 3.10 or newer with pip (Debian: apt-get install python3-pip).",
        runs: true,
      },
    ],
    files: {},
    steps: [
      {
        words: [
          ...["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"],
          ...["--no-deps", "--only-binary=:all:", "--target", "{tools}"],
          ...[`grpcio-tools==${PINS.grpcio}`, ...DEPENDENCIES],
          ...[`typing_extensions==${PINS.typing_extensions}`, `setuptools==${PINS.setuptools}`],
        ],
      },
    ],
    digests: {},
    executables: [],
  }),
  generators: () => [
    {
      title: "protoc of grpcio-tools",
      kind: "compiler",
      command: {
        words: [...COMPILER, "--descriptor_set_in={image}", ...["python", "pyi", "grpc_python"].map(outputOf)],
        env: ENV,
      },
      parameter: "",
      under: "src",
      probe: { command: { words: [...COMPILER, "--version"], env: ENV }, expected: "libprotoc 33.5" },
    },
  ],
  files: (project) => ({
    "pyproject.toml": projectFile(project),
    "example.py": example(project),
    "README.md": readme(project, {
      title: "Python",
      build: "pip install .",
      run: "python3 example.py",
      example: example(project),
      fence: "python",
      notes: project.foreign
        ? "Have tritonclient or kserve in another process than these stubs: both register package `inference` too."
        : "",
    }),
  }),
};

function outputOf(name: string): string {
  return `--${name}_out={out}`;
}

function projectFile({ name, version }: Project): string {
  return `[build-system]
requires = ["setuptools==${PINS.setuptools}"]
build-backend = "setuptools.build_meta"

[project]
name = "${name}"
version = "${version}"
requires-python = ">=3.10"
dependencies = [
${DEPENDENCIES.map((each) => `  "${each}",\n`).join("")}]

[tool.setuptools.packages.find]
where = ["src"]
namespaces = true

[tool.setuptools.package-data]
"*" = ["*.pyi"]
`;
}

function example({ foreign }: Project): string {
  return foreign
    ? `import sys
import grpc
from inference import infer_pb2, service_pb2_grpc

address, model = sys.argv[1:3]
request = infer_pb2.ModelInferRequest(model_name=model)
request.inputs.add(name="text_input", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"Once upon a time")
request.parameters["max_tokens"].int64_param = 40
with grpc.insecure_channel(address) as channel:
    answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
print(answer.outputs[0].contents.bytes_contents[0].decode())
`
    : `import sys
import grpc
from stator.frontend.v1 import frontend_pb2, frontend_pb2_grpc

with grpc.insecure_channel(sys.argv[1]) as channel:
    answer = frontend_pb2_grpc.FrontendServiceStub(channel).ListWorkers(frontend_pb2.ListWorkersRequest())
for worker in answer.workers:
    print(worker.instance.address, worker.link)
`;
}
