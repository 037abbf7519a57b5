/** Entries per node: one for each byte that a key may go on with, and what stands for the key that ends at the node. */
const NODE_ENTRIES = 256;
const ENDS_KEY = 0x100;
const IS_OFFSET = 0x80000000;

interface Node {
  readonly number: number;
  readonly children: Map<number, Node>;
  replacement?: string;
}

function nodesOf(replacements: Readonly<Record<string, string>>): Node[] {
  const root: Node = { number: 0, children: new Map() };
  const nodes = [root];
  for (const [key, replacement] of Object.entries(replacements)) {
    let node = root;
    for (const byte of Buffer.from(key)) {
      let child = node.children.get(byte);
      if (!child) {
        child = { number: nodes.length, children: new Map() };
        nodes.push(child);
        node.children.set(byte, child);
      }
      node = child;
    }
    node.replacement = replacement;
  }
  return nodes;
}

/** A precompiled character map as a unigram vocabulary has it, with much air: a block of entries for each node. */
export function makeCharacterMap(replacements: Readonly<Record<string, string>>): Uint8Array {
  const nodes = nodesOf(replacements);
  const entries = new Uint32Array(nodes.length * NODE_ENTRIES);
  let texts = "";
  for (const { number, children, replacement } of nodes) {
    const place = number * NODE_ENTRIES;
    if (replacement !== undefined) {
      entries[place] = IS_OFFSET | Buffer.byteLength(texts);
      texts += `${replacement}\0`;
    }
    for (const [byte, child] of children) {
      const at = place + byte;
      const base = at ^ (child.number * NODE_ENTRIES);
      entries[at] = (base << 10) | (child.replacement === undefined ? 0 : ENDS_KEY) | byte;
    }
  }
  return Buffer.concat([
    Buffer.from(Uint32Array.of(entries.byteLength).buffer),
    Buffer.from(entries.buffer),
    Buffer.from(texts),
  ]);
}
