/**
 * A number below 2^53 for a text: equal for equal texts of one process, and for others equal with the chance of 2^-53. Two
 * multiplicative hashes of 32 bits side by side (after MurmurHash3's mixing), from a seed that the caller keeps.
 */
export function fingerprint(text: string, seed: number): number {
  let low = 0xdeadbeef ^ seed;
  let high = 0x41c6ce57 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, 0x9e3779b1);
    high = Math.imul(high ^ code, 0x5f356495);
  }
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}

const SMALLEST = 1024;

/**
 * Texts that were seen, in 16 to 32 bytes each. Two of n texts may be taken for one with the chance of n²/2^54 (1.4e-5
 * for 500,000), so it is for what errs to the safe side.
 */
export class FingerprintSet {
  readonly #seed: number;
  #slots = new Float64Array(SMALLEST);
  #size = 0;

  constructor(seed = 0) {
    this.#seed = seed;
  }

  /** @returns whether it was not there yet */
  add(text: string): boolean {
    // 0 marks an empty slot.
    if (!this.#insert(fingerprint(text, this.#seed) + 1)) return false;
    this.#size += 1;
    if (this.#size * 2 > this.#slots.length) this.#grow();
    return true;
  }

  #insert(mark: number): boolean {
    const mask = this.#slots.length - 1;
    let at = (mark % 0x1_0000_0000) & mask;
    for (; this.#slots[at] !== 0; at = (at + 1) & mask) if (this.#slots[at] === mark) return false;
    this.#slots[at] = mark;
    return true;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Float64Array(old.length * 2);
    for (const mark of old) if (mark !== 0) this.#insert(mark);
  }
}
