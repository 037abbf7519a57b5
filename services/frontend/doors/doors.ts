import { CHAT } from "./chat/door.ts";
import { COMPLETIONS } from "./completions/door.ts";
import type { DoorReader, HttpDoor } from "./door.ts";
import { EMBEDDINGS } from "./embeddings/door.ts";
import { GENERATE } from "./generate/door.ts";
import { HOSTED } from "./hosted/doors.ts";
import { INFER } from "./infer/door.ts";
import { GENERATE_STREAM } from "./streaming/door.ts";

/** Every door of the HTTP port, by the folder of each. `docs/a-new-door.md` makes one. */
export const DOORS: readonly HttpDoor<unknown>[] = [
  ...[CHAT, COMPLETIONS, EMBEDDINGS],
  ...([INFER, GENERATE, GENERATE_STREAM] as readonly HttpDoor<unknown>[]),
  ...HOSTED,
];

/** What reads the bodies of these doors. */
export function readersOf(doors: readonly HttpDoor<unknown>[]): readonly DoorReader<unknown>[] {
  return doors.map(({ reader }) => reader);
}
