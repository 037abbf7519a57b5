import { readHealth, readJson } from "../chat-client.ts";
import type { Command } from "../command.ts";
import { type Column, printTable } from "../table.ts";

/** `stator models`: the models that a running frontend serves. */
export const models: Command = {
  name: "models",
  arguments: "",
  summary: "the models that a running frontend serves",
  help:
    "Asks a running frontend (http.host and http.port) what it serves: models, other names of theirs, and adapters. State\n" +
    "is ready where a request would be answered now.",
  says: { "http.host": "Where the frontend is.", "http.port": "Port of the frontend." },
  options: ["http.host", "http.port", "json"],
  async run({ values, print }) {
    const base = `http://${values["http.host"]}:${values["http.port"]}`;
    const [{ data }, health] = await Promise.all([
      readJson<{ data: Listed[] }>(`${base}/v1/models`),
      // 503 has a body too: nothing is ready then.
      readHealth(base),
    ]);
    const rows = data.map((model) => ({ ...model, state: health.models.includes(model.id) ? "ready" : "not ready" }));
    print(values.json ? JSON.stringify(rows, undefined, 2) : printTable(COLUMNS, rows));
    return 0;
  },
};

interface Listed {
  readonly id: string;
  readonly max_model_len?: number;
  readonly parent?: string;
  readonly created: number;
}

const COLUMNS: readonly Column<Listed & { state: string }>[] = [
  ["MODEL", ({ id }) => id],
  ["STATE", ({ state }) => state],
  ["CONTEXT", ({ max_model_len: tokens }) => tokens ?? ""],
  ["ADAPTER OF", ({ parent }) => parent ?? ""],
  ["SINCE", ({ created }) => new Date(created * 1000).toISOString().slice(0, 19).replace("T", " ")],
];
