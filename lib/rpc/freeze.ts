/** Freezes a message and the messages in it, since both sides of a direct call hold the same object. Byte arrays cannot be frozen: do not write to them. */
export function freezeMessage(value: object): void {
  if (Object.isFrozen(value) || ArrayBuffer.isView(value)) return;
  Object.freeze(value);
  for (const part of Object.values(value)) if (typeof part === "object" && part !== null) freezeMessage(part);
}
