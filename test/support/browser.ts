import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

/** A page in Chromium, as a test holds it. */
export interface Browser {
  /** Opens an address and resolves when it has loaded. */
  open(url: string): Promise<void>;
  /** The value of an expression in the page; promises are awaited. */
  evaluate<Value>(expression: string): Promise<Value>;
  /** Resolves once an expression is true in the page. */
  until(expression: string, timeoutMs?: number): Promise<void>;
  /** A picture of the page, PNG. Dark or light as asked. */
  picture(scheme: "dark" | "light"): Promise<Buffer>;
  /** Addresses that the page asked for so far, and what it complained of. */
  readonly requests: readonly string[];
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

/** Why there is no browser here; undefined when there is one. */
export const browserMissing: string | undefined =
  spawnSync("chromium", ["--version"]).status === 0 ? undefined : "chromium is missing";

const LOOK_EVERY_MS = 50;

/** Starts Chromium without a window and attaches to a page of it by the DevTools protocol. */
export async function openBrowser(): Promise<Browser> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "stator-browser-"));
  const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
  const child = spawn("chromium", [...flags, "--remote-debugging-port=0", `--user-data-dir=${folder}`, "about:blank"]);
  const session = await Session.attach(await addressOf(child));
  for (const domain of ["Page", "Runtime", "Network", "Log"]) await session.send(`${domain}.enable`);
  const evaluate = async <Value>(expression: string): Promise<Value> => {
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const answer = await session.send<Evaluated<Value>>("Runtime.evaluate", asked);
    if (answer.exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(answer.exceptionDetails)}`);
    return answer.result.value;
  };
  return {
    requests: session.requests,
    complaints: session.complaints,
    evaluate,
    async open(url) {
      const loaded = session.once("Page.loadEventFired");
      await session.send("Page.navigate", { url });
      await loaded;
    },
    async until(expression, timeoutMs = 30_000) {
      const endMs = performance.now() + timeoutMs;
      while (!(await evaluate<boolean>(expression))) {
        const shown = performance.now() > endMs ? await evaluate<string>("document.body.innerText") : undefined;
        if (shown !== undefined) throw new Error(`Not true in time: ${expression}\n${shown}`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    },
    async picture(scheme) {
      await session.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
      const { data } = await session.send<{ data: string }>("Page.captureScreenshot", { format: "png" });
      return Buffer.from(data, "base64");
    },
    async close() {
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("close", resolve));
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

interface Evaluated<Value> {
  readonly result: { readonly value: Value };
  readonly exceptionDetails?: object;
}

/** host:port of the DevTools, which Chromium writes when it listens. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr?.on("data", (data: Buffer) => {
      said += data.toString();
      const address = /DevTools listening on ws:\/\/([^/]+)\//.exec(said)?.[1];
      if (address) resolve(address);
    });
    child.once("exit", () => reject(new Error(`Chromium ended:\n${said}`)));
  });
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { request?: { url: string }; entry?: { text: string }; exceptionDetails?: object };
  readonly result?: unknown;
  readonly error?: object;
}

/** One connection to one page. */
class Session {
  readonly requests: string[] = [];
  readonly complaints: string[] = [];
  readonly #socket: WebSocket;
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #awaited = new Map<string, () => void>();
  #next = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(String(data)) as Message));
  }

  static async attach(address: string): Promise<Session> {
    const pages = (await (await fetch(`http://${address}/json/list`)).json()) as {
      type: string;
      webSocketDebuggerUrl: string;
    }[];
    const page = pages.find(({ type }) => type === "page");
    if (!page) throw new Error("Chromium has no page");
    const socket = new WebSocket(page.webSocketDebuggerUrl);
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("error", reject, { once: true });
    });
    return new Session(socket);
  }

  async send<Result = unknown>(method: string, params: object = {}): Promise<Result> {
    const id = ++this.#next;
    const asked = Promise.withResolvers<unknown>();
    this.#asked.set(id, asked);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return (await asked.promise) as Result;
  }

  once(event: string): Promise<void> {
    return new Promise((resolve) => this.#awaited.set(event, resolve));
  }

  #receive({ id, method = "", params = {}, result, error }: Message): void {
    if (id !== undefined) {
      if (error) this.#asked.get(id)?.reject(new Error(JSON.stringify(error)));
      else this.#asked.get(id)?.resolve(result);
      this.#asked.delete(id);
      return;
    }
    if (params.request) this.requests.push(params.request.url);
    if (params.entry) this.complaints.push(params.entry.text);
    if (params.exceptionDetails) this.complaints.push(JSON.stringify(params.exceptionDetails));
    this.#awaited.get(method)?.();
  }
}
