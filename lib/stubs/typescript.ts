import { readme } from "./readme.ts";
import type { Project, Recipe } from "./recipe.ts";
import { TYPESCRIPT_LOCK } from "./typescript-lock.ts";

const PLUGIN = "@bufbuild/protoc-gen-es";
const PINS = { es: "2.17.0", connect: "2.2.0", node: "24.19.2", typescript: "7.0.2" } as const;
const PROGRAM = `{tools}/node_modules/${PLUGIN}/bin/protoc-gen-es`;

/** TypeScript: modules by the paths of the contracts, for Connect, which speaks gRPC too. */
export const typescript: Recipe = {
  language: "typescript",
  title: "TypeScript",
  initialName: "stator-stubs",
  nameIs: "a package of npm in small letters, such as @team/stubs",
  isName: (name) => name.length <= 214 && /^(@[a-z\d][a-z\d._-]*\/)?[a-z\d][a-z\d._-]*$/.test(name),
  lacks: ["google.rpc", "grpc.health.v1"],
  target: () => ({}),
  tools: () => ({
    title: `protoc-gen-es ${PINS.es}`,
    takes: "half a minute",
    machine: [
      {
        command: "npm",
        versionArgs: ["--version"],
        least: "9",
        bring: "Install npm 9 or newer; it comes with Node.",
        runs: false,
      },
    ],
    files: {
      "package.json": json({ name: "stator-tools", private: true, dependencies: { [PLUGIN]: PINS.es } }),
      "package-lock.json": json({
        name: "stator-tools",
        lockfileVersion: 3,
        requires: true,
        packages: { "": { name: "stator-tools", dependencies: { [PLUGIN]: PINS.es } }, ...TYPESCRIPT_LOCK },
      }),
    },
    steps: [{ words: ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"] }],
    digests: {},
    executables: [],
    beside: { name: PLUGIN, version: PINS.es },
  }),
  generators: () => [
    {
      title: "protoc-gen-es",
      kind: "plugin",
      command: { words: ["node", PROGRAM] },
      parameter: "target=ts,import_extension=js",
      under: "src",
      probe: { command: { words: ["node", PROGRAM, "--version"] }, expected: `v${PINS.es}` },
    },
  ],
  files: (project) => ({
    "package.json": projectFile(project),
    "tsconfig.json": json({
      compilerOptions: {
        ...{ target: "es2022", module: "nodenext", moduleResolution: "nodenext", types: ["node"], strict: true },
        ...{ rootDir: "src", outDir: "dist", declaration: true, verbatimModuleSyntax: true, skipLibCheck: true },
      },
      include: ["src"],
    }),
    "src/example.ts": example(project),
    "README.md": readme(project, {
      title: "TypeScript",
      build: "npm install && npm run build",
      run: "node dist/example.js",
      example: example(project),
      fence: "ts",
      notes: "",
    }),
  }),
};

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function projectFile({ name, version }: Project): string {
  return json({
    name,
    version,
    private: true,
    type: "module",
    engines: { node: ">=20" },
    scripts: { build: "tsc" },
    files: ["dist"],
    exports: { "./*": { types: "./dist/*.d.ts", default: "./dist/*.js" } },
    dependencies: {
      "@bufbuild/protobuf": PINS.es,
      "@connectrpc/connect": PINS.connect,
      "@connectrpc/connect-node": PINS.connect,
    },
    devDependencies: { "@types/node": PINS.node, typescript: PINS.typescript },
  });
}

function example({ foreign }: Project): string {
  return foreign
    ? `import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { GRPCInferenceService } from "./inference/service_pb.js";

const [address, modelName] = process.argv.slice(2);
const client = createClient(GRPCInferenceService, createGrpcTransport({ baseUrl: \`http://\${address}\` }));
const contents = { bytesContents: [new TextEncoder().encode("Once upon a time")] };
const inputs = [{ name: "text_input", datatype: "BYTES", shape: [1n], contents }];
const parameters = { max_tokens: { parameterChoice: { case: "int64Param", value: 40n } } } as const;
const answer = await client.modelInfer({ modelName, inputs, parameters });
process.stdout.write(\`\${new TextDecoder().decode(answer.outputs[0]?.contents?.bytesContents[0])}\\n\`);
process.exit();
`
    : `import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { FrontendService } from "./stator/frontend/v1/frontend_pb.js";

const transport = createGrpcTransport({ baseUrl: \`http://\${process.argv[2]}\` });
const { workers } = await createClient(FrontendService, transport).listWorkers({});
for (const { instance, link } of workers) process.stdout.write(\`\${instance?.address} \${link}\\n\`);
process.exit();
`;
}
