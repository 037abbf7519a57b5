import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ExplanationSchema } from "#gen/stator/router/v1/router_pb";
import { printDecision } from "../decision.ts";
import type { Explanation } from "./explanation.ts";

/** An explanation as the contract has it. */
export function messageOf({
  of,
  decision,
  bypass,
  ...explanation
}: Explanation): MessageInitShape<typeof ExplanationSchema> {
  return {
    ...explanation,
    choices: [...explanation.choices],
    decision: printDecision(decision),
    missing: explanation.missing.map((each) => ({ ...each })),
    candidates: explanation.candidates.map(({ terms, ...each }) => ({
      ...each,
      terms: terms.map((term) => ({ ...term })),
    })),
    bypass: bypass && { ...bypass, terms: bypass.terms.map((term) => ({ ...term })) },
    candidateCount: of,
    flips: explanation.flips.map((flip) => ({ ...flip })),
  };
}
