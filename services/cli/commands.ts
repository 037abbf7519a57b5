import type { Command } from "./command.ts";
import { cache } from "./commands/cache.ts";
import { capture } from "./commands/capture.ts";
import { chat } from "./commands/chat.ts";
import { config } from "./commands/config.ts";
import { conform } from "./commands/conform.ts";
import { contract } from "./commands/contract.ts";
import { explain } from "./commands/explain.ts";
import { frontend } from "./commands/frontend.ts";
import { hub } from "./commands/hub.ts";
import { models } from "./commands/models.ts";
import { newProject } from "./commands/new.ts";
import { ps } from "./commands/ps.ts";
import { replay } from "./commands/replay.ts";
import { requests } from "./commands/requests.ts";
import { role } from "./commands/role.ts";
import { stubs } from "./commands/stubs.ts";
import { template } from "./commands/template.ts";
import { tokenize } from "./commands/tokenize.ts";
import { up } from "./commands/up.ts";
import { worker } from "./commands/worker.ts";

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  up,
  chat,
  models,
  ps,
  requests,
  explain,
  capture,
  cache,
  role,
  replay,
  frontend,
  worker,
  hub,
  conform,
  contract,
  stubs,
  newProject,
  template,
  tokenize,
  config,
];
