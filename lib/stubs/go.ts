import { readme } from "./readme.ts";
import type { Project, Recipe } from "./recipe.ts";

const PINS = { go: "1.25", "protoc-gen-go": "v1.36.11", "protoc-gen-go-grpc": "v1.6.0", grpc: "v1.80.0" } as const;
const SEGMENT = /^[a-z\d]([\w.~-]*[\w~-])?$/i;

/** Go: one module, a package for each package of the contracts. */
export const go: Recipe = {
  language: "go",
  title: "Go",
  initialName: "example.com/stator/stubs",
  nameIs: "the path of a Go module, such as example.com/team/stubs",
  isName: (name) => name.split("/").every((part) => SEGMENT.test(part)) && /^[^/]+\.[^/]+(\/|$)/.test(name),
  lacks: [],
  target: ({ path, package: proto }, name) => {
    const folder = path.slice(0, path.lastIndexOf("/"));
    const [last = "", before = ""] = proto.split(".").reverse();
    return { goPackage: `${name}/${folder};${/^v\d/.test(last) ? before + last : last}` };
  },
  tools: () => ({
    title: `protoc-gen-go ${PINS["protoc-gen-go"]} and protoc-gen-go-grpc ${PINS["protoc-gen-go-grpc"]}`,
    takes: "half a minute",
    machine: [
      {
        command: "go",
        versionArgs: ["version"],
        least: PINS.go,
        bring: `Install Go ${PINS.go} or newer, Debian's is older, and have it on PATH.`,
        runs: false,
      },
    ],
    files: {},
    steps: [
      install(`google.golang.org/protobuf/cmd/protoc-gen-go@${PINS["protoc-gen-go"]}`),
      install(`google.golang.org/grpc/cmd/protoc-gen-go-grpc@${PINS["protoc-gen-go-grpc"]}`),
    ],
    digests: {},
    executables: [],
  }),
  generators: (name) =>
    (["protoc-gen-go", "protoc-gen-go-grpc"] as const).map((tool) => ({
      title: tool,
      kind: "plugin",
      command: { words: [`{tools}/${tool}`] },
      parameter: `module=${name}`,
      under: "",
      // The second leaves out the v.
      probe: {
        command: { words: [`{tools}/${tool}`, "--version"] },
        expected: ` ${PINS[tool]}`.replace(" v1.6", " 1.6"),
      },
    })),
  files: (project) => ({
    "go.mod": moduleFile(project),
    "go.sum": SUMS,
    "example/main.go": example(project),
    "README.md": readme(project, {
      title: "Go",
      build: "go build ./...",
      run: "go run ./example",
      example: example(project),
      fence: "go",
      notes: "",
    }),
  }),
};

function install(tool: string) {
  return { words: ["go", "install", tool], env: { GOBIN: "{tools}", GOFLAGS: "", GOTOOLCHAIN: "local" } };
}

function moduleFile({ name }: Project): string {
  return `module ${name}

go ${PINS.go}.0

require (
	google.golang.org/grpc ${PINS.grpc}
	google.golang.org/protobuf ${PINS["protoc-gen-go"]}
)

require (
	golang.org/x/net v0.49.0 // indirect
	golang.org/x/sys v0.40.0 // indirect
	golang.org/x/text v0.33.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260120221211-b8f7ae30c516 // indirect
)
`;
}

// What `go mod tidy` writes for the module above: a change of a pin changes these lines.
const SUMS = `github.com/cespare/xxhash/v2 v2.3.0 h1:UL815xU9SqsFlibzuggzjXhog7bL6oX9BbNZnL2UFvs=
github.com/cespare/xxhash/v2 v2.3.0/go.mod h1:VGX0DQ3Q6kWi7AoAeZDth3/j3BFtOZR5XLFGgcrjCOs=
github.com/go-logr/logr v1.4.3 h1:CjnDlHq8ikf6E492q6eKboGOC0T8CDaOvkHCIg8idEI=
github.com/go-logr/logr v1.4.3/go.mod h1:9T104GzyrTigFIr8wt5mBrctHMim0Nb2HLGrmQ40KvY=
github.com/go-logr/stdr v1.2.2 h1:hSWxHoqTgW2S2qGc0LTAI563KZ5YKYRhT3MFKZMbjag=
github.com/go-logr/stdr v1.2.2/go.mod h1:mMo/vtBO5dYbehREoey6XUKy/eSumjCCveDpRre4VKE=
github.com/golang/protobuf v1.5.4 h1:i7eJL8qZTpSEXOPTxNKhASYpMn+8e5Q6AdndVa1dWek=
github.com/golang/protobuf v1.5.4/go.mod h1:lnTiLA8Wa4RWRcIUkrtSVa5nRhsEGBg48fD6rSs7xps=
github.com/google/go-cmp v0.7.0 h1:wk8382ETsv4JYUZwIsn6YpYiWiBsYLSJiTsyBybVuN8=
github.com/google/go-cmp v0.7.0/go.mod h1:pXiqmnSA92OHEEa9HXL2W4E7lf9JzCmGVUdgjX3N/iU=
github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=
github.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=
go.opentelemetry.io/auto/sdk v1.2.1 h1:jXsnJ4Lmnqd11kwkBV2LgLoFMZKizbCi5fNZ/ipaZ64=
go.opentelemetry.io/auto/sdk v1.2.1/go.mod h1:KRTj+aOaElaLi+wW1kO/DZRXwkF4C5xPbEe3ZiIhN7Y=
go.opentelemetry.io/otel v1.39.0 h1:8yPrr/S0ND9QEfTfdP9V+SiwT4E0G7Y5MO7p85nis48=
go.opentelemetry.io/otel v1.39.0/go.mod h1:kLlFTywNWrFyEdH0oj2xK0bFYZtHRYUdv1NklR/tgc8=
go.opentelemetry.io/otel/metric v1.39.0 h1:d1UzonvEZriVfpNKEVmHXbdf909uGTOQjA0HF0Ls5Q0=
go.opentelemetry.io/otel/metric v1.39.0/go.mod h1:jrZSWL33sD7bBxg1xjrqyDjnuzTUB0x1nBERXd7Ftcs=
go.opentelemetry.io/otel/sdk v1.39.0 h1:nMLYcjVsvdui1B/4FRkwjzoRVsMK8uL/cj0OyhKzt18=
go.opentelemetry.io/otel/sdk v1.39.0/go.mod h1:vDojkC4/jsTJsE+kh+LXYQlbL8CgrEcwmt1ENZszdJE=
go.opentelemetry.io/otel/sdk/metric v1.39.0 h1:cXMVVFVgsIf2YL6QkRF4Urbr/aMInf+2WKg+sEJTtB8=
go.opentelemetry.io/otel/sdk/metric v1.39.0/go.mod h1:xq9HEVH7qeX69/JnwEfp6fVq5wosJsY1mt4lLfYdVew=
go.opentelemetry.io/otel/trace v1.39.0 h1:2d2vfpEDmCJ5zVYz7ijaJdOF59xLomrvj7bjt6/qCJI=
go.opentelemetry.io/otel/trace v1.39.0/go.mod h1:88w4/PnZSazkGzz/w84VHpQafiU4EtqqlVdxWy+rNOA=
golang.org/x/net v0.49.0 h1:eeHFmOGUTtaaPSGNmjBKpbng9MulQsJURQUAfUwY++o=
golang.org/x/net v0.49.0/go.mod h1:/ysNB2EvaqvesRkuLAyjI1ycPZlQHM3q01F02UY/MV8=
golang.org/x/sys v0.40.0 h1:DBZZqJ2Rkml6QMQsZywtnjnnGvHza6BTfYFWY9kjEWQ=
golang.org/x/sys v0.40.0/go.mod h1:OgkHotnGiDImocRcuBABYBEXf8A9a87e/uXjp9XT3ks=
golang.org/x/text v0.33.0 h1:B3njUFyqtHDUI5jMn1YIr5B0IE2U0qck04r6d4KPAxE=
golang.org/x/text v0.33.0/go.mod h1:LuMebE6+rBincTi9+xWTY8TztLzKHc/9C1uBCG27+q8=
gonum.org/v1/gonum v0.17.0 h1:VbpOemQlsSMrYmn7T2OUvQ4dqxQXU+ouZFQsZOx50z4=
gonum.org/v1/gonum v0.17.0/go.mod h1:El3tOrEuMpv2UdMrbNlKEh9vd86bmQ6vqIcDwxEOc1E=
google.golang.org/genproto/googleapis/rpc v0.0.0-20260120221211-b8f7ae30c516 h1:sNrWoksmOyF5bvJUcnmbeAmQi8baNhqg5IWaI3llQqU=
google.golang.org/genproto/googleapis/rpc v0.0.0-20260120221211-b8f7ae30c516/go.mod h1:j9x/tPzZkyxcgEFkiKEEGxfvyumM01BEtsW8xzOahRQ=
google.golang.org/grpc v1.80.0 h1:Xr6m2WmWZLETvUNvIUmeD5OAagMw3FiKmMlTdViWsHM=
google.golang.org/grpc v1.80.0/go.mod h1:ho/dLnxwi3EDJA4Zghp7k2Ec1+c2jqup0bFkw07bwF4=
google.golang.org/protobuf v1.36.11 h1:fV6ZwhNocDyBLK0dj+fg8ektcVegBBuEolpbTQyBNVE=
google.golang.org/protobuf v1.36.11/go.mod h1:HTf+CrKn2C3g5S8VImy6tdcUvCska2kB7j23XfzDpco=
`;

function example({ name, foreign }: Project): string {
  return foreign
    ? `package main

import (
	"context"
	"fmt"
	"os"

	"${name}/inference"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	channel, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer channel.Close()
	text := &inference.InferTensorContents{BytesContents: [][]byte{[]byte("Once upon a time")}}
	input := &inference.ModelInferRequest_InferInputTensor{Name: "text_input", Datatype: "BYTES", Shape: []int64{1}, Contents: text}
	length := &inference.InferParameter{ParameterChoice: &inference.InferParameter_Int64Param{Int64Param: 40}}
	answer, err := inference.NewGRPCInferenceServiceClient(channel).ModelInfer(context.Background(), &inference.ModelInferRequest{
		ModelName:  os.Args[2],
		Inputs:     []*inference.ModelInferRequest_InferInputTensor{input},
		Parameters: map[string]*inference.InferParameter{"max_tokens": length},
	})
	must(err)
	fmt.Println(string(answer.Outputs[0].Contents.BytesContents[0]))
}
${MUST}`
    : `package main

import (
	"context"
	"fmt"
	"os"

	frontendv1 "${name}/stator/frontend/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	channel, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer channel.Close()
	client := frontendv1.NewFrontendServiceClient(channel)
	answer, err := client.ListWorkers(context.Background(), &frontendv1.ListWorkersRequest{})
	must(err)
	for _, worker := range answer.Workers {
		fmt.Println(worker.Instance.Address, worker.Link)
	}
}
${MUST}`;
}

const MUST = `
func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
`;
