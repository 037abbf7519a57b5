import { readme } from "./readme.ts";
import type { Project, Recipe } from "./recipe.ts";

const PINS = {
  rust: "1.88",
  plugins: "0.5.0",
  prost: "0.14.6",
  tonic: "0.14.9",
} as const;

const RESERVED = new Set(
  (
    "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl " +
    "in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type " +
    "typeof unsafe unsized use virtual where while yield core std alloc test proc_macro"
  ).split(" "),
);

/** Rust: one crate for prost and tonic, a module for each package of the contracts. */
export const rust: Recipe = {
  language: "rust",
  title: "Rust",
  initialName: "stator-stubs",
  nameIs: "a crate of Rust, such as team-stubs",
  isName: (name) => /^[a-z][a-z\d_-]{0,63}$/i.test(name) && !RESERVED.has(crate(name)),
  lacks: ["grpc.health.v1"],
  target: () => ({}),
  tools: () => ({
    title: `protoc-gen-prost and protoc-gen-tonic ${PINS.plugins}`,
    takes: "two minutes of both cores",
    machine: [
      {
        command: "cargo",
        versionArgs: ["--version"],
        least: PINS.rust,
        bring: `Install Rust ${PINS.rust} or newer, Debian's is older, and have cargo on PATH.`,
        runs: false,
      },
    ],
    files: {},
    steps: [
      {
        words: [
          ...["cargo", "install", "--locked", "--debug", "--root", "{tools}", "--target-dir", "{tools}/target"],
          ...["protoc-gen-prost", "protoc-gen-tonic"].map((name) => `${name}@${PINS.plugins}`),
        ],
        // Without what is only for a debugger they compile in half the time.
        env: { CARGO_PROFILE_DEV_DEBUG: "0" },
      },
      { words: ["rm", "-rf", "{tools}/target"] },
    ],
    digests: {},
    executables: [],
  }),
  generators: () =>
    [
      // With its full name a message can be packed into an Any.
      { title: "protoc-gen-prost", parameter: "enable_type_names=true" },
      // lib.rs includes what this one writes.
      { title: "protoc-gen-tonic", parameter: "no_include=true" },
    ].map(({ title, parameter }) => ({
      title,
      kind: "plugin",
      command: { words: [`{tools}/bin/${title}`] },
      parameter,
      under: "src",
      probe: { command: { words: [`{tools}/bin/${title}`, "--version"] }, expected: PINS.plugins },
    })),
  descriptors: "src/contracts.binpb",
  files: (project) => ({
    "Cargo.toml": projectFile(project),
    "src/lib.rs": library(project),
    "examples/example.rs": example(project),
    "README.md": readme(project, {
      title: "Rust",
      build: "cargo build",
      run: "cargo run --example example",
      example: example(project),
      fence: "rust",
      notes: "",
    }),
  }),
};

/** The name of a crate as code writes it. */
function crate(name: string): string {
  return name.replaceAll("-", "_");
}

function projectFile({ name, version }: Project): string {
  return `[package]
name = "${name}"
version = "${version}"
edition = "2024"
rust-version = "${PINS.rust}"

[dependencies]
prost = "=${PINS.prost}"
prost-types = "=${PINS.prost}"
tonic = "=${PINS.tonic}"
tonic-prost = "=${PINS.tonic}"
tonic-types = "=${PINS.tonic}"

[dev-dependencies]
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
`;
}

/** Modules by package, one inside the other, since the stubs name each other by where they are. */
interface Modules {
  readonly inner: Map<string, Modules>;
  proto?: string;
}

function library({ packages, served, version }: Project): string {
  const root: Modules = { inner: new Map() };
  for (const proto of packages) {
    let at = root;
    for (const part of proto.split(".")) {
      const next: Modules = at.inner.get(part) ?? { inner: new Map() };
      at.inner.set(part, next);
      at = next;
    }
    at.proto = proto;
  }
  // The code and its comments are as the contracts have them, not as a linter of Rust would.
  const head = `//! Contracts of Stator ${version}: a module for each package.\n#![allow(clippy::all, rustdoc::all)]\n\n`;
  const descriptors = `/// All of them as an encoded FileDescriptorSet: for reflection, and for JSON, which prost itself has not.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("contracts.binpb");

`;
  return head + descriptors + printModules(root, new Set(served), "");
}

function printModules({ inner }: Modules, served: ReadonlySet<string>, indent: string): string {
  const printed = [...inner].map(([name, module]) => {
    const { proto } = module;
    const files = proto === undefined ? [] : ["rs", ...(served.has(proto) ? ["tonic.rs"] : [])];
    const includes = files
      .map((end) => `${proto?.replaceAll(".", "/")}/${proto}.${end}`)
      .map((file) => `${indent}    include!("${file}");\n`)
      .join("");
    return `${indent}pub mod ${name} {\n${includes}${printModules(module, served, `${indent}    `)}${indent}}\n`;
  });
  return printed.join("");
}

function example({ name, foreign }: Project): string {
  return foreign
    ? `use ${crate(name)}::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use ${crate(name)}::inference::{infer_parameter::ParameterChoice, model_infer_request::InferInputTensor, *};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let mut client = GrpcInferenceServiceClient::connect(format!("http://{}", args[1])).await?;
    let text = InferTensorContents { bytes_contents: vec![b"Once upon a time".to_vec()], ..Default::default() };
    let input = InferInputTensor { name: "text_input".into(), datatype: "BYTES".into(), shape: vec![1], contents: Some(text), ..Default::default() };
    let length = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(40)) };
    let parameters = [("max_tokens".to_string(), length)].into();
    let request = ModelInferRequest { model_name: args[2].clone(), inputs: vec![input], parameters, ..Default::default() };
    let answer = client.model_infer(request).await?.into_inner();
    for text in answer.outputs.into_iter().filter_map(|output| output.contents).flat_map(|contents| contents.bytes_contents) {
        println!("{}", String::from_utf8_lossy(&text));
    }
    Ok(())
}
`
    : `use ${crate(name)}::stator::frontend::v1::{ListWorkersRequest, frontend_service_client::FrontendServiceClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).expect("give HOST:PORT");
    let mut client = FrontendServiceClient::connect(format!("http://{address}")).await?;
    for worker in client.list_workers(ListWorkersRequest {}).await?.into_inner().workers {
        println!("{} {}", worker.instance.unwrap_or_default().address, worker.link);
    }
    Ok(())
}
`;
}
