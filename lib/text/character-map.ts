const SIZE_BYTES = 4;
const ENTRY_BYTES = 4;

/**
 * What is wrong with the precompiled character map of a unigram vocabulary; undefined where whoever follows it stays
 * within it. It is a size, a double array of entries of 32 bits, and the replacements, each up to a NUL. An entry with a
 * label leads to the place at its index XOR its base, from there each byte of a text to the one at that XOR the byte.
 * How far keys and replacements go is checked where the map is used.
 */
export function characterMapFault(map: Uint8Array): string | undefined {
  const view = new DataView(map.buffer, map.byteOffset, map.byteLength);
  const size = map.length > SIZE_BYTES ? view.getUint32(0, true) : 0;
  const replacementsAt = SIZE_BYTES + size;
  if (replacementsAt >= map.length) return "its character map is cut short";
  const count = Math.floor(size / ENTRY_BYTES);
  const lastEnd = map.subarray(replacementsAt).lastIndexOf(0);
  const entryAt = (at: number) => view.getUint32(SIZE_BYTES + at * ENTRY_BYTES, true);
  for (let at = 0; at < count; at++) {
    const entry = entryAt(at);
    const isLabelled = entry < 2 ** 31 && (entry & 0xff) > 0;
    // The first one is where every key begins.
    if (at > 0 && !isLabelled) continue;
    const place = at ^ ((entry >>> 10) << ((entry & 0x200) >> 6));
    if ((place | 0xff) >= count) return "its character map points outside itself";
    const endsKey = isLabelled && (entry & 0x100) !== 0;
    if (endsKey && (entryAt(place) & 0x7fffffff) > lastEnd) return "its character map points outside its replacements";
  }
  return undefined;
}
