import { HOSTED_CHAT_ROUTE, HOSTED_COMPLETION_ROUTE, HOSTED_EMBEDDING_ROUTE } from "#lib/api/kserve/routes";
import type { ApiRoute } from "#lib/api/routes";
import { DONE_EVENT, printEvent } from "#lib/api/sse";
import { CHAT } from "../chat/door.ts";
import { COMPLETIONS } from "../completions/door.ts";
import type { DoorPrinters, HttpDoor } from "../door.ts";
import { EMBEDDINGS } from "../embeddings/door.ts";
import type { HttpAnswer } from "../reply.ts";
import { printHostedBody, printHostedError } from "./error.ts";

/** OpenAI's doors where KServe's clients look for them: the same but for their errors. */
export const HOSTED: readonly HttpDoor<unknown>[] = [
  hosted(CHAT, HOSTED_CHAT_ROUTE),
  hosted(COMPLETIONS, HOSTED_COMPLETION_ROUTE),
  hosted(EMBEDDINGS, HOSTED_EMBEDDING_ROUTE),
];

function hosted<Form>(door: HttpDoor<Form>, api: ApiRoute): HttpDoor<unknown> {
  const printers = { ...door.printers, ...hostedEvents(door.printers) };
  return { ...door, name: `hosted_${door.name}`, api, printers, printError: printHostedError } as HttpDoor<unknown>;
}

function hostedEvents<Form>({
  events,
}: DoorPrinters<Form, string, HttpAnswer>): Pick<DoorPrinters<Form, string, HttpAnswer>, "events"> {
  if (!events) return {};
  return {
    events(plan, form) {
      const printer = events(plan, form);
      return {
        begin: (placement) => printer.begin(placement),
        prompt: (choice, position, logprobs) => printer.prompt(choice, position, logprobs),
        text: (choice, text, soFar) => printer.text(choice, text, soFar),
        token: (choice, part, soFar) => printer.token(choice, part, soFar),
        end: (choice, finish, soFar) => printer.end(choice, finish, soFar),
        done: (usage) => printer.done(usage),
        failed: (error) => printEvent(printHostedBody(error)) + DONE_EVENT,
      };
    },
  };
}
