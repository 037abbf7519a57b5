import { readFileSync } from "node:fs";
import { createFileRegistry, type FileRegistry, fromBinary, getOption } from "@bufbuild/protobuf";
import { type FileDescriptorProto, type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Access, access } from "#gen/stator/common/v1/common_pb";
import { runTool } from "../run-tool.ts";
import { inTemporaryFolder } from "../temporary-folder.ts";
import { type Comments, renderMessages } from "./message-tables.ts";

const HEADER = `# Contracts

Rendered from \`proto/\`. What two processes of Stator say to each other, and what others may say to them. How to generate
stubs: \`docs/contracts.md\`. Access says on which ports a method answers: \`public\` on the HTTP port as well, \`operator\`
for people and tools that run a cluster, \`peer\` for processes of the same cluster; contracts of others have none.
A type with \`?\` tells an absent value from an empty one; \`[]\` is a list.
`;

/** The contract page: every service, message and enum of proto/, with its comments. */
export function renderContractPage(): string {
  const set = readDescriptors();
  const registry = createFileRegistry(set);
  const files = set.file.filter((file) => !file.package.startsWith("google.protobuf"));
  const packages = [...new Set(files.map((file) => file.package))].sort();
  const sections = packages.map((name) =>
    renderPackage(
      name,
      files.filter((file) => file.package === name),
      registry,
    ),
  );
  return [HEADER, ...sections].join("\n");
}

/** Compiles the contracts with their comments. */
function readDescriptors(): FileDescriptorSet {
  return inTemporaryFolder((folder) => {
    const image = `${folder}/contracts.binpb`;
    const { ok, output } = runTool("buf", ["build", "-o", image], { capture: true });
    if (!ok) throw new Error(`The contracts do not compile:\n${output}`);
    return fromBinary(FileDescriptorSetSchema, readFileSync(image));
  });
}

function renderPackage(name: string, files: readonly FileDescriptorProto[], registry: FileRegistry): string {
  const parts = files.flatMap((file) => {
    const comments = readComments(file);
    return [...renderServices(file, comments, registry), ...renderMessages(file, comments)];
  });
  return [`## ${name}\n`, ...parts].join("\n");
}

/** Leading comments of a file by the path of the element, as a descriptor counts it. */
function readComments(file: FileDescriptorProto): Comments {
  const located = file.sourceCodeInfo?.location ?? [];
  return new Map(
    located.map(({ path, leadingComments }) => [path.join("."), leadingComments.trim().replaceAll(/\s*\n\s*/g, " ")]),
  );
}

function renderServices(file: FileDescriptorProto, comments: Comments, registry: FileRegistry): string[] {
  return file.service.map((service, at) => {
    const rows = service.method.map((method, index) => {
      const input = `${method.clientStreaming ? "stream " : ""}${shortName(method.inputType)}`;
      const output = `${method.serverStreaming ? "stream " : ""}${shortName(method.outputType)}`;
      const who = accessOf(registry, `${file.package}.${service.name}`, method.name);
      return `| \`${method.name}\` | ${input} | ${output} | ${who} | ${comments.get(`6.${at}.2.${index}`) ?? ""} |`;
    });
    const title = `### ${service.name}\n\n${comments.get(`6.${at}`) ?? ""}\n`;
    return [title, "| method | request | response | access | what |", "|---|---|---|---|---|", ...rows, ""].join("\n");
  });
}

function accessOf(registry: FileRegistry, service: string, method: string): string {
  const found = registry.getService(service)?.methods.find(({ name }) => name === method);
  const value = found === undefined ? Access.UNSPECIFIED : getOption(found, access);
  const names: Readonly<Record<Access, string>> = {
    [Access.UNSPECIFIED]: "–",
    [Access.PUBLIC]: "public",
    [Access.OPERATOR]: "operator",
    [Access.PEER]: "peer",
  };
  return names[value] ?? "–";
}

function shortName(type: string): string {
  return type.slice(type.lastIndexOf(".") + 1);
}
