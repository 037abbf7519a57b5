import { choice, type OptionBase, type Options } from "#lib/base/option";
import { AUDIENCES, type Audience } from "#lib/contract/verdict";

/** What is decided of comparisons of contracts. */
export const CONTRACT_OPTIONS = {
  format: choice({
    initial: "text",
    choices: ["text", "json"],
    doc: "How `contract` prints: for people, or for programs.",
  }),
  audience: audienceOption(),
} as const satisfies Options;

function audienceOption(): OptionBase<readonly Audience[]> {
  const expected = `some of ${AUDIENCES.join(", ")}, with commas between`;
  return {
    initial: AUDIENCES,
    placeholder: "NAMES",
    doc: "For whom a change counts in `contract check`: servers and callers (binary form), json, stubs (code over generated ones).",
    parse(given) {
      const names = given.split(",").map((name) => name.trim());
      const audiences = AUDIENCES.filter((audience) => names.includes(audience));
      return audiences.length === new Set(names).size && audiences.length > 0 ? audiences : { expected };
    },
    print: (audiences) => audiences.join(","),
    schema: { type: "string", pattern: `^(${AUDIENCES.join("|")})(,(${AUDIENCES.join("|")}))*$` },
  };
}
