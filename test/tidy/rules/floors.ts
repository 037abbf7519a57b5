import { COMPOSE, FLOORS, roomOf } from "../house.ts";
import type { Import } from "../source.ts";
import type { Rule } from "../tree.ts";

/** A folder imports strictly lower floors; type-only imports and the tests beside the source are included. */
export const floors: Rule = ({ sources }) => {
  return sources.flatMap((source) => {
    const room = roomOf(source.path);
    if (room === undefined || room === "gen") return [];
    if (FLOORS[room] === undefined) return [`${source.path}: ${room} has no floor in test/tidy/house.ts`];
    return source.imports.flatMap((imported) => {
      const complaint = complain({ file: source.path, room, isTest: source.isTest }, imported);
      return complaint === undefined ? [] : [`${source.path}: ${complaint}`];
    });
  });
};

interface Importer {
  readonly file: string;
  readonly room: string;
  readonly isTest: boolean;
}

function complain({ file, room, isTest }: Importer, { request, file: target }: Import): string | undefined {
  if (target === undefined) return undefined;
  const other = roomOf(target);
  if (other === room) return undefined;
  if (other === undefined) {
    const isStart = room === "services/cli" && /^(bin|native)\//.test(target);
    const allowed = isStart || (isTest && target.startsWith("test/")) || !/\.(ts|mjs)$/.test(target);
    return allowed ? undefined : `imports ${request}, which is no room`;
  }
  const [own, others] = [FLOORS[room], FLOORS[other]];
  if (own === undefined || others === undefined) return `imports ${request}, which has no floor`;
  if (others >= own) return `imports ${request} (floor ${others}) from floor ${own}`;
  if (other.startsWith("services/") && !file.startsWith(COMPOSE))
    return `imports ${request}; only ${COMPOSE} joins services`;
  return undefined;
}
