import { renderContractPage } from "./contract-page.ts";
import { renderErrorPage } from "./error-page.ts";

/** One generated page or schema. */
export interface Page {
  /** Where it belongs, relative to the root, below gen/. */
  readonly path: string;
  /** Its whole contents. */
  readonly render: () => string;
}

/** Everything in gen/ that is rendered from tables in the code. A new table gets its page by a new row here. */
export const PAGES: readonly Page[] = [
  { path: "gen/docs/contracts.md", render: renderContractPage },
  { path: "gen/docs/errors.md", render: renderErrorPage },
];
