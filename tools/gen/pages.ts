import { printOpenApi } from "#lib/api/openapi";
import { printFieldsPage } from "#lib/api/page";
import { printConfigPage, printConfigSchema } from "#lib/host/config/print";
import { OPTIONS } from "#services/cli/compose/options";
import { VERSION } from "#services/cli/version";
import { documentedRoutes } from "#services/frontend/documented-routes";
import { DOORS } from "#services/frontend/doors/doors";
import { renderContractChangesPage } from "./contract-changes-page.ts";
import { renderContractPage } from "./contract-page.ts";
import { renderErrorPage } from "./error-page.ts";
import { renderMetricsPage } from "./metrics-page.ts";
import { renderRulesPage } from "./rules-page.ts";

/** One generated page or schema. */
export interface Page {
  /** Where it belongs, relative to the root, below gen/docs/ or gen/schema/. */
  readonly path: string;
  /** Its whole contents. */
  readonly render: () => string | Promise<string>;
}

const ROUTES = documentedRoutes(DOORS);

/** Everything in gen/ that is rendered from tables in the code. A new table gets its page by a new row here. */
export const PAGES: readonly Page[] = [
  { path: "gen/docs/config.md", render: () => printConfigPage(OPTIONS) },
  { path: "gen/docs/contract-changes.md", render: renderContractChangesPage },
  { path: "gen/docs/contracts.md", render: renderContractPage },
  { path: "gen/docs/errors.md", render: renderErrorPage },
  { path: "gen/docs/fields.md", render: () => printFieldsPage(ROUTES) },
  { path: "gen/docs/metrics.md", render: renderMetricsPage },
  { path: "gen/docs/rules.md", render: renderRulesPage },
  { path: "gen/schema/config.json", render: () => printConfigSchema(OPTIONS) },
  { path: "gen/schema/openapi.json", render: renderOpenApi },
];

function renderOpenApi(): string {
  return `${JSON.stringify(JSON.parse(printOpenApi(VERSION, ROUTES)), null, 2)}\n`;
}
