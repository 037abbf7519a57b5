import { readme } from "./readme.ts";
import type { Project, Recipe } from "./recipe.ts";

const PINS = { protoc: "33.0", protobuf: "4.33.0", grpc: "1.80.0", gson: "2.12.1", release: "17" } as const;

/** Plugins of Maven that the build runs, all of group org.apache.maven.plugins. */
const BUILD = {
  "maven-clean-plugin": "3.4.0",
  "maven-resources-plugin": "3.3.1",
  "maven-compiler-plugin": "3.13.0",
  "maven-surefire-plugin": "3.5.2",
  "maven-jar-plugin": "3.4.2",
  "maven-install-plugin": "3.1.3",
  "maven-dependency-plugin": "3.8.1",
} as const;

const PROTOC = `com.google.protobuf:protoc:${PINS.protobuf}`;
const PLUGIN = `io.grpc:protoc-gen-grpc-java:${PINS.grpc}`;

/** By Node's word for the processor: Maven's word, and SHA-256 of both programs as Maven Central has them. */
const PROGRAMS = {
  x64: {
    platform: "linux-x86_64",
    protoc: "855eca120edab40ed611f2b3a5da25a654d22fa4c757de128c7e1dfb70c4d4e7",
    plugin: "75a164477dfde4dfc4ad42f0ab8fe592eafe0da461fd061e672bec52d31d297d",
  },
  arm64: {
    platform: "linux-aarch_64",
    protoc: "b02120ef5565d2376bfd7d4e2b3cd46492ba64ba4f8f00dfc204edb9385e1322",
    plugin: "61a17536368a61e72c18933ed9cfb3932627b5ff35ab74c16d8e5d8b6e9ccd46",
  },
} as const;

// Words that no name may be: keywords, and literals that look like names.
const RESERVED = new Set(
  (
    "abstract assert boolean break byte case catch char class const continue default do double else enum extends final " +
    "finally float for goto if implements import instanceof int interface long native new package private protected " +
    "public return short static strictfp super switch synchronized this throw throws transient try void volatile while " +
    "true false null _"
  ).split(" "),
);

/** Java: a Maven project, packages of the contracts behind the name that was given. */
export const java: Recipe = {
  language: "java",
  title: "Java",
  initialName: "com.example",
  nameIs: "a package of Java that those of the contracts go below, such as com.team",
  isName: (name) => name.split(".").every((part) => /^[a-z_][a-z\d_]*$/i.test(part) && !RESERVED.has(part)),
  lacks: [],
  target: ({ path, package: proto }, name) => ({
    javaPackage: `${name}.${proto}`,
    javaOuterClassname: `${pascal(path.slice(path.lastIndexOf("/") + 1, -".proto".length))}Proto`,
  }),
  tools: ({ arch }) => {
    const programs = Object.hasOwn(PROGRAMS, arch) ? PROGRAMS[arch as keyof typeof PROGRAMS] : undefined;
    if (programs === undefined) return undefined;
    const { platform } = programs;
    return {
      title: `protoc ${PINS.protoc} and protoc-gen-grpc-java ${PINS.grpc}`,
      takes: "a minute",
      machine: [
        {
          command: "mvn",
          versionArgs: ["--version"],
          least: "3.8",
          bring:
            "Install Maven 3.8 or newer with a JDK of 17 or newer (Debian: apt-get install maven default-jdk-headless).",
          runs: false,
        },
      ],
      files: {},
      steps: [PROTOC, PLUGIN].map((artifact) => ({
        words: [
          ...["mvn", "--batch-mode", "--quiet", "-Dmdep.stripVersion=true", "-DoutputDirectory={tools}"],
          `-Dartifact=${artifact}:exe:${platform}`,
          `org.apache.maven.plugins:maven-dependency-plugin:${BUILD["maven-dependency-plugin"]}:copy`,
        ],
      })),
      digests: {
        [`protoc-${platform}.exe`]: programs.protoc,
        [`protoc-gen-grpc-java-${platform}.exe`]: programs.plugin,
      },
      executables: [`protoc-${platform}.exe`, `protoc-gen-grpc-java-${platform}.exe`],
    };
  },
  generators: (_, { arch }) => [
    {
      title: "protoc",
      kind: "compiler",
      command: {
        words: [
          ...[`{tools}/protoc-${platformOf(arch)}.exe`, "--descriptor_set_in={image}", "--java_out={out}"],
          ...[`--plugin=protoc-gen-grpc-java={tools}/protoc-gen-grpc-java-${platformOf(arch)}.exe`],
          "--grpc-java_out=@generated=omit:{out}",
        ],
      },
      parameter: "",
      under: "src/main/java",
      probe: {
        command: { words: [`{tools}/protoc-${platformOf(arch)}.exe`, "--version"] },
        expected: `libprotoc ${PINS.protoc}`,
      },
    },
  ],
  files: (project) => ({
    "pom.xml": projectFile(project),
    [`src/main/java/${project.name.replaceAll(".", "/")}/Example.java`]: example(project),
    "README.md": readme(project, {
      title: "Java",
      build: "mvn package",
      run: `java -cp "target/classes:target/lib/*" ${project.name}.Example`,
      example: example(project),
      fence: "java",
      notes: "",
    }),
  }),
};

function platformOf(arch: string): string {
  return PROGRAMS[arch as keyof typeof PROGRAMS].platform;
}

function pascal(name: string): string {
  return name
    .split("_")
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join("");
}

function projectFile({ name, version }: Project): string {
  const plugins = Object.entries(BUILD).map(([plugin, pin]) => {
    const opened = `        <plugin>\n          <artifactId>${plugin}</artifactId>\n          <version>${pin}</version>\n`;
    return `${opened}${plugin === "maven-dependency-plugin" ? COPY : ""}        </plugin>`;
  });
  const libraries = [
    ["com.google.protobuf", "protobuf-java", PINS.protobuf],
    // For JSON: grpc-services brings one that is older than the messages, and this one a gson that is older than gRPC's.
    ["com.google.protobuf", "protobuf-java-util", PINS.protobuf],
    ["com.google.code.gson", "gson", PINS.gson],
    ...["grpc-netty-shaded", "grpc-protobuf", "grpc-services", "grpc-stub"].map((each) => ["io.grpc", each, PINS.grpc]),
  ].map(
    ([group, artifact, pin]) =>
      `    <dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${pin}</version></dependency>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>${name}</groupId>
  <artifactId>stator-stubs</artifactId>
  <version>${version}</version>
  <properties>
    <maven.compiler.release>${PINS.release}</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
${libraries.join("\n")}
  </dependencies>
  <build>
    <plugins>
${plugins.join("\n").replaceAll(/^ {2}/gm, "")}
    </plugins>
  </build>
</project>
`;
}

/** The libraries lie beside the classes after `mvn package`, for a class path without Maven. */
const COPY = `          <executions>
            <execution>
              <phase>package</phase>
              <goals><goal>copy-dependencies</goal></goals>
              <configuration><outputDirectory>\${project.build.directory}/lib</outputDirectory></configuration>
            </execution>
          </executions>
`;

function example({ name, foreign }: Project): string {
  return foreign
    ? `package ${name};

import com.google.protobuf.ByteString;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import ${name}.inference.*;

class Example {
  public static void main(String[] args) {
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create()).build();
    var text = InferTensorContents.newBuilder().addBytesContents(ByteString.copyFromUtf8("Once upon a time"));
    var input = ModelInferRequest.InferInputTensor.newBuilder().setName("text_input").setDatatype("BYTES").addShape(1).setContents(text);
    var length = InferParameter.newBuilder().setInt64Param(40).build();
    var request = ModelInferRequest.newBuilder().setModelName(args[1]).addInputs(input).putParameters("max_tokens", length);
    var answer = GRPCInferenceServiceGrpc.newBlockingStub(channel).modelInfer(request.build());
    System.out.println(answer.getOutputs(0).getContents().getBytesContents(0).toStringUtf8());
    channel.shutdownNow();
  }
}
`
    : `package ${name};

import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import ${name}.stator.frontend.v1.*;

class Example {
  public static void main(String[] args) {
    var channel = Grpc.newChannelBuilder(args[0], InsecureChannelCredentials.create()).build();
    var client = FrontendServiceGrpc.newBlockingStub(channel);
    for (var worker : client.listWorkers(ListWorkersRequest.getDefaultInstance()).getWorkersList())
      System.out.println(worker.getInstance().getAddress() + " " + worker.getLink());
    channel.shutdownNow();
  }
}
`;
}
