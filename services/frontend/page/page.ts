import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { StatorError } from "#lib/base/errors";
import type { Exchange } from "../http/exchange.ts";

/** Pages of the book that /docs/NAME shows, by their name. */
const PAGES: Readonly<Record<string, URL>> = {
  "guide.md": new URL("../../../docs/guide.md", import.meta.url),
  "routing.md": new URL("../../../docs/routing.md", import.meta.url),
  "disaggregation.md": new URL("../../../docs/disaggregation.md", import.meta.url),
  "replay.md": new URL("../../../docs/replay.md", import.meta.url),
  "capture.md": new URL("../../../docs/capture.md", import.meta.url),
  "kserve.md": new URL("../../../docs/kserve.md", import.meta.url),
  "kserve-tensor-models.md": new URL("../../../docs/kserve-tensor-models.md", import.meta.url),
  "link.md": new URL("../../../docs/link.md", import.meta.url),
  "contracts.md": new URL("../../../docs/contracts.md", import.meta.url),
  "engines.md": new URL("../../../docs/engines.md", import.meta.url),
  "services.md": new URL("../../../docs/services.md", import.meta.url),
  "polyglot.md": new URL("../../../docs/polyglot.md", import.meta.url),
  "config.md": new URL("../../../gen/docs/config.md", import.meta.url),
  "errors.md": new URL("../../../gen/docs/errors.md", import.meta.url),
  "fields.md": new URL("../../../gen/docs/fields.md", import.meta.url),
  "metrics.md": new URL("../../../gen/docs/metrics.md", import.meta.url),
  "rules.md": new URL("../../../gen/docs/rules.md", import.meta.url),
};

/** The page at `/`: one file that asks this port alone. */
export interface Page {
  /** Answers with the page. */
  show(exchange: Exchange): void;
  /** Answers with a page of the book. Throws NOT_FOUND. */
  showDocument(exchange: Exchange, name: string): Promise<void>;
}

/** Reads the page. */
export function openPage(): Page {
  const html = readFileSync(new URL("./index.html", import.meta.url), "utf8");
  const policy = policyOf(html);
  return {
    show(exchange) {
      exchange.set("content-security-policy", policy);
      exchange.set("referrer-policy", "no-referrer");
      exchange.set("x-content-type-options", "nosniff");
      exchange.set("cache-control", "no-cache");
      exchange.send(200, "text/html; charset=utf-8", html);
    },
    async showDocument(exchange, name) {
      const file = Object.hasOwn(PAGES, name) ? PAGES[name] : undefined;
      if (!file) throw new StatorError("NOT_FOUND", { what: "This page" });
      exchange.set("x-content-type-options", "nosniff");
      exchange.send(200, "text/plain; charset=utf-8", await readFile(file, "utf8"));
    },
  };
}

/** Only the style and the script of the file itself, by their hashes, and only this port to ask. */
function policyOf(html: string): string {
  const hashOf = (name: string): string => {
    const content = new RegExp(`<${name}>(.*?)</${name}>`, "s").exec(html)?.[1] ?? "";
    return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
  };
  return [
    "default-src 'none'",
    `script-src ${hashOf("script")}`,
    `style-src ${hashOf("style")}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
