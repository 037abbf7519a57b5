import type { Command } from "./command.ts";

/** A command that is not loaded yet: what the list of all commands says of it. */
export interface CommandEntry {
  /** What follows `stator`. */
  readonly name: string;
  /** One line of the list, without a full stop. */
  readonly summary: string;
  /** Brings its code. A process loads that of one command alone: all of them together take a second. */
  load(): Promise<Command>;
}

/** Every command, in the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "up",
    summary: "the whole cluster on this machine: one frontend, two workers",
    load: async () => (await import("./commands/up.ts")).up,
  },
  {
    name: "chat",
    summary: "talk to the model; with a question, answer it and end",
    load: async () => (await import("./commands/chat.ts")).chat,
  },
  {
    name: "models",
    summary: "the models that a running frontend serves",
    load: async () => (await import("./commands/models.ts")).models,
  },
  {
    name: "ps",
    summary: "the workers of a running frontend: what they serve, state, load",
    load: async () => (await import("./commands/ps.ts")).ps,
  },
  {
    name: "requests",
    summary: "the last requests of a running frontend: who answered them, and what took how long",
    load: async () => (await import("./commands/requests.ts")).requests,
  },
  {
    name: "explain",
    summary: "why a request went to its worker, or where a prompt would go now",
    load: async () => (await import("./commands/explain.ts")).explain,
  },
  {
    name: "capture",
    summary: "write down what a running frontend routes, to be replayed",
    load: async () => (await import("./commands/capture.ts")).capture,
  },
  {
    name: "cache",
    summary: "clear the prefix cache of a worker, or of all",
    load: async () => (await import("./commands/cache.ts")).cache,
  },
  {
    name: "role",
    summary: "give a running worker another role: all of answers, prompts, or what follows them",
    load: async () => (await import("./commands/role.ts")).role,
  },
  {
    name: "replay",
    summary: "what rules of routing would do with a trace, in seconds and without a GPU",
    load: async () => (await import("./commands/replay.ts")).replay,
  },
  {
    name: "frontend",
    summary: "one frontend: the OpenAI API over the workers that discovery knows",
    load: async () => (await import("./commands/frontend.ts")).frontend,
  },
  {
    name: "worker",
    summary: "one worker: an engine behind the link, openengine.v1 and artifacts",
    load: async () => (await import("./commands/worker.ts")).worker,
  },
  {
    name: "hub",
    summary: "discovery alone: what workers and frontends on several machines meet at",
    load: async () => (await import("./commands/hub.ts")).hub,
  },
  {
    name: "conform",
    summary: "hold a process, anybody's, to the contract that it answers",
    load: async () => (await import("./commands/conform.ts")).conform,
  },
  {
    name: "contract",
    summary: "what a change of a Protobuf contract breaks, for whom, and what to do",
    load: async () => (await import("./commands/contract.ts")).contract,
  },
  {
    name: "stubs",
    summary: "make a package of stubs of the contracts, in Python, Go, Java, Rust or TypeScript",
    load: async () => (await import("./commands/stubs.ts")).stubs,
  },
  {
    name: "new",
    summary: "write a project that runs, with a test: a worker or a service, in TypeScript, Python or Go",
    load: async () => (await import("./commands/new.ts")).newProject,
  },
  {
    name: "template",
    summary: "the prompt that a model makes of a conversation, with its tokens",
    load: async () => (await import("./commands/template.ts")).template,
  },
  {
    name: "tokenize",
    summary: "the tokens that a model makes of a text",
    load: async () => (await import("./commands/tokenize.ts")).tokenize,
  },
  {
    name: "config",
    summary: "explain an option: its value and where it came from",
    load: async () => (await import("./commands/config.ts")).config,
  },
];
