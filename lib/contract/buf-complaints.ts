import { type Difference, describe } from "./difference.ts";

/** One complaint of `buf breaking`, as it prints it with `--error-format json`. */
export interface BufComplaint {
  /** File of the newer contract; absent where the file is gone. */
  readonly path?: string | undefined;
  /** The rule that it breaks. */
  readonly type: string;
  /** buf's own sentence. */
  readonly message: string;
}

/**
 * The differences, and one more for each complaint that none of them answers: a comparison is never weaker than the buf that
 * is at hand, whatever rules that one has. Answered is a complaint where a difference of its file has its rule.
 */
export function withComplaints(
  differences: readonly Difference[],
  complaints: readonly BufComplaint[],
): readonly Difference[] {
  const answered = new Set(
    differences.flatMap(({ file, rules }) => rules.flatMap((rule) => [rule, `${rule} ${file}`])),
  );
  const others = complaints
    .filter(({ path, message }) => !isForeign(path ?? message))
    .filter(({ path, type }) => !answered.has(path === undefined ? type : `${type} ${path}`))
    .map(({ path = "", type: rule, message }) => {
      const facts = { detail: message, rule };
      return describe({ kind: "REFUSED_BY_BUF", element: path, file: path, package: "", facts, rules: [rule] });
    });
  return [...differences, ...others];
}

/** What google.protobuf declares comes and goes with the files that import it. */
function isForeign(text: string): boolean {
  return /(^|")google[./]protobuf[./"]/.test(text);
}
