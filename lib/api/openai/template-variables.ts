import { jsonMembers, jsonText } from "../json-members.ts";

/** Fields of a chat request whose values are for the template alone. */
export interface TemplateFields {
  /** By name of the variable. */
  readonly chat_template_kwargs?: unknown;
  /** The variable of the same name, where `chat_template_kwargs` has none. */
  readonly documents?: unknown;
}

/**
 * The variables that a chat request has for its template, each as the JSON text that stands in its bytes; undefined where
 * it has none. Bytes are looked at only where the body, which was parsed from them, has such a field.
 */
export function templateVariables(body: TemplateFields, bytes: Uint8Array): Record<string, string> | undefined {
  const { chat_template_kwargs: more, documents } = body;
  if (!documents && !more) return undefined;
  const members = jsonMembers(bytes);
  const given = new Map(documents ? [["documents", members.get("documents")!]] : []);
  if (more) for (const [name, value] of jsonMembers(members.get("chat_template_kwargs")!)) given.set(name, value);
  return Object.fromEntries([...given].map(([name, value]) => [name, jsonText(value)]));
}
