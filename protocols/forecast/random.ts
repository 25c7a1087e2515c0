/** A seeded generator (Marsaglia's xorshift128, seeded by splitmix): the same everywhere. */
export class Random {
  readonly #state = new Uint32Array(4)

  constructor(seed: number) {
    let mixed = seed >>> 0
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e3779b9) >>> 0
      let z = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
      this.#state[i] = (z ^ (z >>> 16)) >>> 0 || i + 1
    }
  }

  /** A whole number in [0, 2^32). */
  next(): number {
    const [x = 0, y = 0, z = 0, w = 0] = this.#state
    const t = x ^ (x << 11)
    const drawn = (w ^ (w >>> 19) ^ t ^ (t >>> 8)) >>> 0
    this.#state.set([y, z, w, drawn])
    return drawn
  }

  /** In [0, 1). */
  unit(): number {
    return this.next() / 4294967296
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.unit() * bound)
  }

  /** Nearly normal, mean 0 and deviation 1: the sum of twelve (Irwin and Hall). */
  normal(): number {
    let sum = -6
    for (let i = 0; i < 12; i++) sum += this.unit()
    return sum
  }
}
