/** The published default secret, 192 bytes. */
const SECRET_HEX =
  "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221" +
  "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
  "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb" +
  "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e";
const SECRET_BYTES = SECRET_HEX.length / 2;
const STRIPE_BYTES = 64;
const STRIPES_PER_BLOCK = (SECRET_BYTES - STRIPE_BYTES) / 8;

/** Eight 64-bit starting lanes, low word first. */
const LANES = [
  0xc2b2ae3d, 0, 0x85ebca87, 0x9e3779b1, 0x27d4eb4f, 0xc2b2ae3d, 0x9e3779f9, 0x165667b1, 0xc2b2ae63, 0x85ebca77,
  0x85ebca77, 0, 0x165667c5, 0x27d4eb2f, 0x9e3779b1, 0,
];

/** High word of the product of two 32-bit words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const cross = Math.imul(aLow, bHigh);
  const other = Math.imul(aHigh, bLow);
  const middle = (Math.imul(aLow, bLow) >>> 16) + (cross & 0xffff) + (other & 0xffff);
  return (Math.imul(aHigh, bHigh) + (cross >>> 16) + (other >>> 16) + (middle >>> 16)) | 0;
}

function swapBytes(word: number): number {
  return ((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** 1 when adding `part` produced the 32-bit `sum` by overflow. */
function carry(sum: number, part: number): number {
  return sum >>> 0 < part >>> 0 ? 1 : 0;
}

/**
 * XXH3-64 over 32-bit words, since a BigInt per word would cost more than the hash. An instance is a register file: it
 * holds the last result and its scratch, so one instance serves one caller at a time.
 */
export class Xxh3 {
  /** Low 32 bits of the last result, as a signed or unsigned word. */
  lo = 0;
  /** High 32 bits of the last result, as a signed or unsigned word. */
  hi = 0;
  #sumLo = 0;
  #sumHi = 0;
  readonly #secret = new DataView(new ArrayBuffer(SECRET_BYTES));
  readonly #seeded = new DataView(new ArrayBuffer(SECRET_BYTES));
  readonly #lanes = new Int32Array(16);

  constructor() {
    for (let at = 0; at < SECRET_BYTES; at++) {
      this.#secret.setUint8(at, Number.parseInt(SECRET_HEX.slice(at * 2, at * 2 + 2), 16));
    }
  }

  /** Hashes `size` bytes from `offset` on into `lo` and `hi`. Borrows the data. */
  hash(data: DataView, offset: number, size: number, seedLo: number, seedHi: number): void {
    if (size > 240) this.#hashLong(data, offset, size, seedLo, seedHi);
    else if (size > 128) this.#hash129To240(data, offset, size, seedLo, seedHi);
    else if (size > 16) this.#hash17To128(data, offset, size, seedLo, seedHi);
    else if (size > 8) this.#hash9To16(data, offset, size, seedLo, seedHi);
    else if (size > 3) this.#hash4To8(data, offset, size, seedLo, seedHi);
    else this.#hashUpTo3(data, offset, size, seedLo, seedHi);
  }

  /** `lo`, `hi` = a × b modulo 2^64. */
  #multiply(aLo: number, aHi: number, bLo: number, bHi: number): void {
    this.hi = (multiplyHigh(aLo, bLo) + Math.imul(aLo, bHi) + Math.imul(aHi, bLo)) | 0;
    this.lo = Math.imul(aLo, bLo);
  }

  /** `lo`, `hi` = low half of a × b exclusive-or high half. */
  #fold(aLo: number, aHi: number, bLo: number, bHi: number): void {
    const low = multiplyHigh(aLo, bLo);
    const cross = Math.imul(aLo, bHi);
    const other = Math.imul(aHi, bLo);
    const high = Math.imul(aHi, bHi);
    const first = (low + cross) | 0;
    const word1 = (first + other) | 0;
    const up1 = carry(first, low) + carry(word1, other);
    const part = multiplyHigh(aLo, bHi);
    const sum = (part + multiplyHigh(aHi, bLo)) | 0;
    const next = (sum + high) | 0;
    const word2 = (next + up1) | 0;
    const up2 = carry(sum, part) + carry(next, high) + carry(word2, up1);
    const word3 = (multiplyHigh(aHi, bHi) + up2) | 0;
    this.lo = Math.imul(aLo, bLo) ^ word2;
    this.hi = word1 ^ word3;
  }

  #addResult(): void {
    const low = (this.#sumLo + this.lo) | 0;
    this.#sumHi = (this.#sumHi + this.hi + carry(low, this.lo)) | 0;
    this.#sumLo = low;
  }

  /** The final mix of the sum. */
  #avalanche(): void {
    const low = this.#sumLo ^ (this.#sumHi >>> 5);
    this.#multiply(low, this.#sumHi, 0x9e3779f9, 0x16566791);
    this.lo ^= this.hi;
  }

  #startSum(size: number): void {
    this.#multiply(size, Math.floor(size / 2 ** 32), 0x85ebca87, 0x9e3779b1);
    this.#sumLo = this.lo;
    this.#sumHi = this.hi;
  }

  #hashUpTo3(data: DataView, offset: number, size: number, seedLo: number, seedHi: number): void {
    const secret = this.#secret;
    let low: number;
    let high: number;
    if (size === 0) {
      low = seedLo ^ secret.getInt32(56, true) ^ secret.getInt32(64, true);
      high = seedHi ^ secret.getInt32(60, true) ^ secret.getInt32(68, true);
    } else {
      const first = data.getUint8(offset);
      const middle = data.getUint8(offset + (size >> 1));
      const last = data.getUint8(offset + size - 1);
      const flip = secret.getInt32(0, true) ^ secret.getInt32(4, true);
      const sum = (flip + seedLo) | 0;
      high = (seedHi + carry(sum, flip)) | 0;
      low = sum ^ ((first << 16) | (middle << 24) | last | (size << 8));
    }
    low ^= high >>> 1;
    this.#multiply(low, high, 0x27d4eb4f, 0xc2b2ae3d);
    low = this.lo ^ ((this.lo >>> 29) | (this.hi << 3));
    high = this.hi ^ (this.hi >>> 29);
    this.#multiply(low, high, 0x9e3779f9, 0x165667b1);
    this.lo ^= this.hi;
  }

  #hash4To8(data: DataView, offset: number, size: number, seedLo: number, seedHi: number): void {
    const secret = this.#secret;
    const key = seedHi ^ swapBytes(seedLo);
    const flipLo = secret.getInt32(8, true) ^ secret.getInt32(16, true);
    const flipHi = secret.getInt32(12, true) ^ secret.getInt32(20, true);
    const first = data.getInt32(offset, true);
    const last = data.getInt32(offset + size - 4, true);
    const borrow = flipLo >>> 0 < seedLo >>> 0 ? 1 : 0;
    const low = last ^ ((flipLo - seedLo) | 0);
    const high = first ^ ((flipHi - key - borrow) | 0);
    const mixLo = low ^ ((high << 17) | (low >>> 15)) ^ ((low << 24) | (high >>> 8));
    const mixHi = high ^ ((low << 17) | (high >>> 15)) ^ ((high << 24) | (low >>> 8));
    this.#multiply(mixLo, mixHi, 0x1e98df25, 0x9fb21c65);
    const shifted = (this.hi >>> 3) + size;
    this.#multiply(this.lo ^ shifted, this.hi, 0x1e98df25, 0x9fb21c65);
    this.lo ^= (this.lo >>> 28) | (this.hi << 4);
    this.hi ^= this.hi >>> 28;
  }

  #hash9To16(data: DataView, offset: number, size: number, seedLo: number, seedHi: number): void {
    const secret = this.#secret;
    const lowKeyLo = secret.getInt32(24, true) ^ secret.getInt32(32, true);
    const lowKeyHi = secret.getInt32(28, true) ^ secret.getInt32(36, true);
    const highKeyLo = secret.getInt32(40, true) ^ secret.getInt32(48, true);
    const highKeyHi = secret.getInt32(44, true) ^ secret.getInt32(52, true);
    const addLo = (lowKeyLo + seedLo) | 0;
    const addHi = (lowKeyHi + seedHi + carry(addLo, seedLo)) | 0;
    const borrow = highKeyLo >>> 0 < seedLo >>> 0 ? 1 : 0;
    const aLo = data.getInt32(offset, true) ^ addLo;
    const aHi = data.getInt32(offset + 4, true) ^ addHi;
    const bLo = data.getInt32(offset + size - 8, true) ^ (highKeyLo - seedLo);
    const bHi = data.getInt32(offset + size - 4, true) ^ (highKeyHi - seedHi - borrow);
    this.#fold(aLo, aHi, bLo, bHi);
    this.#sumLo = size;
    this.#sumHi = 0;
    this.#addResult();
    this.lo = swapBytes(aHi);
    this.hi = swapBytes(aLo);
    this.#addResult();
    this.lo = bLo;
    this.hi = bHi;
    this.#addResult();
    this.#avalanche();
  }

  /** Mixes 16 bytes of data with 16 of the secret into the sum. */
  #mix16(data: DataView, offset: number, secretAt: number, seedLo: number, seedHi: number): void {
    const secret = this.#secret;
    const keyLo = secret.getInt32(secretAt, true);
    const sumLo = (keyLo + seedLo) | 0;
    const sumHi = (secret.getInt32(secretAt + 4, true) + seedHi + carry(sumLo, keyLo)) | 0;
    const nextLo = secret.getInt32(secretAt + 8, true);
    const borrow = nextLo >>> 0 < seedLo >>> 0 ? 1 : 0;
    const restHi = secret.getInt32(secretAt + 12, true) - seedHi - borrow;
    this.#fold(
      data.getInt32(offset, true) ^ sumLo,
      data.getInt32(offset + 4, true) ^ sumHi,
      data.getInt32(offset + 8, true) ^ (nextLo - seedLo),
      data.getInt32(offset + 12, true) ^ restHi,
    );
    this.#addResult();
  }

  #hash17To128(data: DataView, offset: number, size: number, seedLo: number, seedHi: number): void {
    this.#startSum(size);
    for (let at = (size - 1) >> 5; at >= 0; at--) {
      this.#mix16(data, offset + 16 * at, 32 * at, seedLo, seedHi);
      this.#mix16(data, offset + size - 16 * (at + 1), 32 * at + 16, seedLo, seedHi);
    }
    this.#avalanche();
  }

  #hash129To240(data: DataView, offset: number, size: number, seedLo: number, seedHi: number): void {
    this.#startSum(size);
    for (let at = 0; at < 8; at++) this.#mix16(data, offset + 16 * at, 16 * at, seedLo, seedHi);
    this.#avalanche();
    this.#sumLo = this.lo;
    this.#sumHi = this.hi;
    const rounds = size >> 4;
    for (let at = 8; at < rounds; at++) this.#mix16(data, offset + 16 * at, 16 * (at - 8) + 3, seedLo, seedHi);
    this.#mix16(data, offset + size - 16, 119, seedLo, seedHi);
    this.#avalanche();
  }

  /** The secret of a seed: of every 16 bytes the first half has the seed added, the second has it taken away. */
  #seedSecret(seedLo: number, seedHi: number): DataView {
    const from = this.#secret;
    if (seedLo === 0 && seedHi === 0) return from;
    const to = this.#seeded;
    for (let at = 0; at < SECRET_BYTES; at += 16) {
      const addLo = from.getInt32(at, true);
      const sum = (addLo + seedLo) | 0;
      to.setInt32(at, sum, true);
      to.setInt32(at + 4, from.getInt32(at + 4, true) + seedHi + carry(sum, addLo), true);
      const takeLo = from.getInt32(at + 8, true);
      to.setInt32(at + 8, takeLo - seedLo, true);
      to.setInt32(at + 12, from.getInt32(at + 12, true) - seedHi - (takeLo >>> 0 < seedLo >>> 0 ? 1 : 0), true);
    }
    return to;
  }

  /** Runs 64 bytes through the eight lanes. */
  #accumulate(data: DataView, offset: number, secret: DataView, secretAt: number): void {
    const lanes = this.#lanes;
    for (let lane = 0; lane < 16; lane += 2) {
      const low = data.getInt32(offset + lane * 4, true);
      const high = data.getInt32(offset + lane * 4 + 4, true);
      const neighbour = lane ^ 2;
      const sum = (lanes[neighbour]! + low) | 0;
      lanes[neighbour + 1] = lanes[neighbour + 1]! + high + carry(sum, low);
      lanes[neighbour] = sum;
      const keyLo = low ^ secret.getInt32(secretAt + lane * 4, true);
      const keyHi = high ^ secret.getInt32(secretAt + lane * 4 + 4, true);
      const product = Math.imul(keyLo, keyHi);
      const own = (lanes[lane]! + product) | 0;
      lanes[lane + 1] = lanes[lane + 1]! + multiplyHigh(keyLo, keyHi) + carry(own, product);
      lanes[lane] = own;
    }
  }

  #scramble(secret: DataView): void {
    const lanes = this.#lanes;
    const from = SECRET_BYTES - STRIPE_BYTES;
    for (let lane = 0; lane < 16; lane += 2) {
      const high = lanes[lane + 1]!;
      const low = lanes[lane]! ^ (high >>> 15) ^ secret.getInt32(from + lane * 4, true);
      this.#multiply(low, high ^ secret.getInt32(from + lane * 4 + 4, true), 0x9e3779b1, 0);
      lanes[lane] = this.lo;
      lanes[lane + 1] = this.hi;
    }
  }

  #hashLong(data: DataView, offset: number, size: number, seedLo: number, seedHi: number): void {
    const secret = this.#seedSecret(seedLo, seedHi);
    const lanes = this.#lanes;
    lanes.set(LANES);
    const blockBytes = STRIPES_PER_BLOCK * STRIPE_BYTES;
    const end = offset + size;
    let at = offset;
    while (end - at > blockBytes) {
      for (let stripe = 0; stripe < STRIPES_PER_BLOCK; stripe++, at += STRIPE_BYTES) {
        this.#accumulate(data, at, secret, stripe * 8);
      }
      this.#scramble(secret);
    }
    for (let stripe = 0; end - at > STRIPE_BYTES; stripe++, at += STRIPE_BYTES) {
      this.#accumulate(data, at, secret, stripe * 8);
    }
    this.#accumulate(data, end - STRIPE_BYTES, secret, SECRET_BYTES - STRIPE_BYTES - 7);
    this.#startSum(size);
    for (let lane = 0; lane < 16; lane += 4) {
      const key = 11 + lane * 4;
      this.#fold(
        lanes[lane]! ^ secret.getInt32(key, true),
        lanes[lane + 1]! ^ secret.getInt32(key + 4, true),
        lanes[lane + 2]! ^ secret.getInt32(key + 8, true),
        lanes[lane + 3]! ^ secret.getInt32(key + 12, true),
      );
      this.#addResult();
    }
    this.#avalanche();
  }
}

/** XXH3-64 of bytes with a seed, as an unsigned 64-bit value. Borrows the bytes. About 0.5 µs for 64 bytes. */
export function xxh3(bytes: Uint8Array, seed = 0n): bigint {
  const kernel = new Xxh3();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  kernel.hash(view, 0, bytes.byteLength, Number(seed & 0xffffffffn) | 0, Number((seed >> 32n) & 0xffffffffn) | 0);
  return (BigInt(kernel.hi >>> 0) << 32n) | BigInt(kernel.lo >>> 0);
}
