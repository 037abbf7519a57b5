import { readJson } from "../chat-client.ts";
import type { Command } from "../command.ts";
import { type Column, printTable } from "../table.ts";

/** `stator models`: the models that a running frontend serves. */
export const models: Command = {
  arguments: "",
  help:
    "Asks a running frontend (http.host and http.port) what it serves: models, other names of theirs, and adapters. State\n" +
    "is ready where a request would be answered now, else the last column says why not.",
  says: { "http.host": "Where the frontend is.", "http.port": "Port of the frontend." },
  options: ["http.host", "http.port", "json"],
  async run({ values, print }) {
    const base = `http://${values["http.host"]}:${values["http.port"]}`;
    const { data, stator } = await readJson<{ data: Listed[]; stator?: { not_ready: Row[] } }>(`${base}/v1/models`);
    const rows: Row[] = [...data.map((model) => ({ ...model, state: "ready" })), ...(stator?.not_ready ?? [])];
    print(values.json ? JSON.stringify(rows, undefined, 2) : printTable(COLUMNS, rows));
    return 0;
  },
};

interface Listed {
  readonly id: string;
  readonly created: number;
  readonly max_model_len?: number;
  readonly parent?: string;
}

/** One name, as `--json` prints it. */
interface Row extends Partial<Listed> {
  readonly id: string;
  readonly state: string;
  /** Why it is not ready. */
  readonly reason?: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ["MODEL", ({ id }) => id],
  ["STATE", ({ state }) => state],
  ["CONTEXT", ({ state, max_model_len: tokens }) => tokens ?? (state === "ready" ? "unknown" : "")],
  ["ADAPTER OF", ({ parent }) => parent ?? ""],
  ["SINCE", ({ created }) => (created ? new Date(created * 1000).toISOString().slice(0, 19).replace("T", " ") : "")],
  ["WHY NOT", ({ reason }) => reason ?? ""],
];
