import type { GRPCInferenceService } from "#gen/inference/service_pb";
import type { Channel } from "#lib/rpc/channel";
import type { Client } from "#lib/rpc/client";
import type { TestObjects } from "../shared-object.ts";

/** A model that a frontend serves, as the clients of all its doors see it. */
export interface ServedModel {
  /** By which requests ask for it. */
  readonly name: string;
  /** `http://host:port` of the frontend. */
  readonly http: string;
  /** To the frontend's gRPC port. */
  readonly channel: Channel;
  /** Over that channel. */
  readonly client: Client<typeof GRPCInferenceService>;
  /** To the gRPC port of its worker. */
  readonly worker: Channel;
  /** Memory of this test that requests may lie in. */
  readonly objects: TestObjects;
}

/** One request, in every form that some door takes it in. */
export interface SameAsk {
  /** For doors with a template. */
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  /** What the model's template makes of them, for doors without. */
  readonly text: string;
  /** The tokens of that text. */
  readonly tokens: readonly number[];
  /** Most tokens of the answer. */
  readonly maxTokens: number;
  /** Texts that end the answer. */
  readonly stop: readonly string[];
}

/** What a door answered. */
export interface SameAnswer {
  /** All of it. */
  readonly text: string;
  /** Why it ended. */
  readonly finish: string;
  /** Tokens of the prompt and of the answer, as the door counts them. */
  readonly usage: readonly [prompt: number, completion: number];
  /** The answer's tokens; undefined where the door does not tell them. */
  readonly ids?: readonly number[];
}

/** POSTs JSON. Throws for an answer that is an error. */
export async function post(served: ServedModel, path: string, body: object): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return checked(await fetch(served.http + path, { method: "POST", headers, body: JSON.stringify(body) }));
}

/** POSTs JSON with bytes behind it, as the protocol's binary extension has them. Throws as `post` does. */
export async function postBinary(
  served: ServedModel,
  path: string,
  { json, behind }: { readonly json: object; readonly behind: readonly Uint8Array[] },
): Promise<{ readonly json: unknown; readonly behind: Buffer }> {
  const head = Buffer.from(JSON.stringify(json));
  const headers = { "inference-header-content-length": String(head.length) };
  const body = Buffer.concat([head, ...behind]);
  const response = await checked(await fetch(served.http + path, { method: "POST", headers, body }));
  const bytes = Buffer.from(await response.arrayBuffer());
  const length = Number(response.headers.get("inference-header-content-length"));
  return { json: JSON.parse(bytes.subarray(0, length).toString()), behind: bytes.subarray(length) };
}

async function checked(response: Response): Promise<Response> {
  if (!response.ok) throw new Error(`${response.url} says ${response.status}: ${await response.text()}`);
  return response;
}

/** The events of an answer as server-sent events, without the one that says that there are no more. */
export async function eventsOf(response: Response): Promise<unknown[]> {
  const events = (await response.text()).split("\n\n").filter((event) => event.startsWith("data: "));
  return events.map((event) => event.slice(6)).flatMap((event) => (event === "[DONE]" ? [] : [JSON.parse(event)]));
}
