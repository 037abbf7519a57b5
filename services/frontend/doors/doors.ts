import { type ApiRoute, CHAT_ROUTE, COMPLETION_ROUTE, EMBEDDING_ROUTE, READ_ROUTES } from "#lib/api/routes";
import { printers as chatPrinters } from "./chat/print.ts";
import { reader as chatReader } from "./chat/read.ts";
import { printers as completionPrinters } from "./completions/print.ts";
import { reader as completionReader } from "./completions/read.ts";
import type { HttpDoor } from "./door.ts";
import { printers as embeddingPrinters } from "./embeddings/print.ts";
import { reader as embeddingReader } from "./embeddings/read.ts";
import { printOpenAiError as printError } from "./openai/error.ts";

/** Every door of the HTTP port: a folder each, and a row here. `docs/a-new-door.md` makes one. */
export const DOORS: readonly HttpDoor<unknown>[] = [
  { name: "chat", api: CHAT_ROUTE, reader: chatReader, printers: chatPrinters, printError },
  { name: "completions", api: COMPLETION_ROUTE, reader: completionReader, printers: completionPrinters, printError },
  { name: "embeddings", api: EMBEDDING_ROUTE, reader: embeddingReader, printers: embeddingPrinters, printError },
];

/** Every route of a port with these doors, for its document. */
export function documentedRoutes(doors: readonly HttpDoor<unknown>[]): readonly ApiRoute[] {
  return [...doors.map(({ api }) => api), ...READ_ROUTES];
}
