/** A tensor of a request. */
export interface Written {
  readonly name: string;
  readonly datatype: "BYTES" | "INT32";
  readonly shape: readonly number[];
  /** Texts, or numbers. */
  readonly elements: readonly (string | number)[];
}

/** A tensor of one text. */
export function textTensor(name: string, text: string): Written {
  return { name, datatype: "BYTES", shape: [1], elements: [text] };
}

/** A tensor of one row of ids. */
export function idsTensor(name: string, ids: readonly number[]): Written {
  return { name, datatype: "INT32", shape: [1, ids.length], elements: ids };
}

/** The raw contents of a tensor. */
export function rawOf({ elements }: Written): Buffer {
  const parts = elements.map((element) => {
    const text = typeof element === "string" ? Buffer.from(element) : undefined;
    const word = Buffer.alloc(4);
    if (text) word.writeUInt32LE(text.length);
    else word.writeInt32LE(Number(element));
    return text ? Buffer.concat([word, text]) : word;
  });
  return Buffer.concat(parts);
}

/** The first element of raw BYTES. */
export function firstText(raw: Uint8Array): string {
  const bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.length);
  return bytes.toString("utf8", 4, 4 + bytes.readUInt32LE(0));
}

/** The elements of raw INT32. */
export function integersOf(raw: Uint8Array): number[] {
  return [...new Int32Array(new Uint8Array(raw).buffer)];
}

/** The elements of raw FP32. */
export function floatsOf(raw: Uint8Array): number[] {
  return [...new Float32Array(new Uint8Array(raw).buffer)];
}
