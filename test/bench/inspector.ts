import type { Program } from "../support/program.ts";

/** Bytes of a process after all garbage was collected. `buffers` are bytes outside the heap that objects own. */
export interface KeptBytes {
  readonly heap: number;
  readonly external: number;
}

/** Variables under which a process opens its inspector on a free port when it is told to, and not before. */
export const INSPECTABLE = { NODE_OPTIONS: "--inspect-port=127.0.0.1:0" };

/** A process seen through the inspector of V8. It was started with INSPECTABLE; `program` prints what it says. */
export class Inspector {
  readonly #socket: WebSocket;
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  static async open(program: Program, pid: number): Promise<Inspector> {
    const toldBefore = program.stderr.length;
    process.kill(pid, "SIGUSR1");
    for (;;) {
      const url = program.stderr.slice(toldBefore).match(/Debugger listening on (ws:\S+)/)?.[1];
      if (url !== undefined) return new Inspector(await connected(url));
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
  }

  /** Calls a method of the protocol. `onEvent` hears what comes meanwhile. */
  call<Result>(method: string, params: object = {}, onEvent: (event: InspectorMessage) => void = () => {}) {
    const id = ++this.#lastId;
    return new Promise<Result>((resolve, reject) => {
      const listen = ({ data }: MessageEvent): void => {
        const message = JSON.parse(String(data)) as InspectorMessage;
        if (message.id !== id) {
          onEvent(message);
          return;
        }
        this.#socket.removeEventListener("message", listen);
        if (message.error) reject(new Error(message.error.message));
        else resolve(message.result as Result);
      };
      this.#socket.addEventListener("message", listen);
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  /** Collects everything that can be collected, then counts. */
  async keptBytes(): Promise<KeptBytes> {
    // Weak references and finalizers free more in a second round.
    for (let round = 0; round < 3; round++) await this.call("HeapProfiler.collectGarbage");
    const expression = "JSON.stringify(process.memoryUsage())";
    const { result } = await this.call<{ result: { value: string } }>("Runtime.evaluate", { expression });
    const { heapUsed, external } = JSON.parse(result.value) as NodeJS.MemoryUsage;
    return { heap: heapUsed, external };
  }

  close(): void {
    this.#socket.close();
  }
}

/** What the inspector says: the answer to a call, or an event. */
export interface InspectorMessage {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

function connected(url: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.addEventListener("open", () => resolve(socket), { once: true });
    socket.addEventListener("error", () => reject(new Error(`No inspector at ${url}`)), { once: true });
  });
}
