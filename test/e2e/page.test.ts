import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Browser, browserMissing, openBrowser } from "../support/browser.ts";
import { type Program, readBoard, startProgram } from "../support/program.ts";

let cluster: Program;
let base: string;

beforeAll(async () => {
  cluster = startProgram(["up", "--engine", "mock", "--workers", "1", "--http-port", "0"]);
  await cluster.until(/Try it:/);
  base = `http://${readBoard(cluster).get("frontend")!.address}`;
});
afterAll(() => cluster.close());

describe("the page at /", () => {
  it("is one file that may ask this port alone, and every link of it leads somewhere", async () => {
    const response = await fetch(base);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'none'; .*connect-src 'self'/);
    const html = await response.text();
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\/|@import|url\(/);
    const links = [...html.matchAll(/href="(\/[^"]*)"/g)].map(([, link]) => link!);
    expect(links).toEqual(expect.arrayContaining(["/docs/guide.md", "/metrics", "/openapi.json"]));
    for (const link of links) {
      const answer = await fetch(base + link);
      expect([link, answer.status, (await answer.text()).length > 10]).toEqual([link, 200, true]);
    }
    const wrong = ["/docs/", "/docs/nothing.md", "/docs/..%2Fpackage.json", "/docs/__proto__"];
    for (const link of wrong) expect([link, (await fetch(base + link)).status]).toEqual([link, 404]);
  });

  if (process.env.CI === "true") it("has a browser to test with", () => expect(browserMissing).toBeUndefined());
});

describe.skipIf(browserMissing)(`the page in Chromium${browserMissing ? ` (${browserMissing})` : ""}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());

  const typed = (text: string) => `document.getElementById("question").value = ${JSON.stringify(text)};`;
  const send = `document.getElementById("form").requestSubmit();`;

  /** Notes every length that an answer has on the page: who looks from outside may come when all of it is there. */
  const watchLengths = `
    window.lengths = new Set();
    new MutationObserver(() => {
      lengths.add(document.querySelector("article.assistant p")?.textContent.length);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });`;

  it("lists the models, streams an answer with its speed, and asks nobody else", async () => {
    await browser.open(base);
    await browser.until(`document.getElementById("model").value === "stator-mock"`);
    await browser.until(`document.getElementById("state").textContent === "1 of 1 ready"`);
    await browser.evaluate(`${watchLengths} document.getElementById("tokens").value = "200";`);
    await browser.evaluate(`${typed("<b>Hello</b> there")} ${send}`);
    await browser.until(
      `/^\\d+ tokens, [\\d.]+ tokens\\/s, /.test(document.querySelector("article.assistant small")?.textContent)`,
    );
    // It grew: the page itself has seen it in several lengths.
    expect(await browser.evaluate<number>("lengths.size")).toBeGreaterThan(2);
    expect(await browser.evaluate(`document.querySelector("article.user").textContent`)).toBe("<b>Hello</b> there");
    for (const scheme of ["light", "dark"] as const) {
      const picture = await browser.picture(scheme);
      expect(picture.subarray(1, 4).toString()).toBe("PNG");
      const folder = process.env.TEST_PICTURES;
      if (folder) writeFileSync(`${folder}/page-${scheme}.png`, picture);
    }
    expect(browser.requests.filter((url) => !url.startsWith(base) && !url.startsWith("data:"))).toEqual([]);
    expect(browser.complaints).toEqual([]);
  });

  it("stops an answer, begins anew, and says what was refused", async () => {
    const note = (text: string) =>
      `[...document.querySelectorAll("article small")].some(({ textContent }) => textContent.includes(${JSON.stringify(text)}))`;
    await browser.evaluate(`document.getElementById("tokens").value = "30000"; ${typed("Long")} ${send}`);
    await browser.until(
      `document.getElementById("send").textContent === "Stop" && document.querySelectorAll("article.assistant p")[1].textContent.length > 3`,
    );
    await browser.evaluate(send);
    await browser.until(note("stopped"));
    await browser.evaluate(`document.getElementById("anew").click()`);
    await browser.until(`document.querySelectorAll("article").length === 0`);
    await browser.until(`document.getElementById("send").textContent === "Send"`);
    await browser.evaluate(`document.getElementById("tokens").value = "5000000000"; ${typed("Again")} ${send}`);
    await browser.until(note("max_tokens"));
    await browser.until(`document.getElementById("send").textContent === "Send"`);
  });
});
