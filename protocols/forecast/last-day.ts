/**
 * Mean and variance of the loads of the last day: how much a load moves about, whatever is foretold.
 *
 * Invariants: bounded memory; sums are made anew once a day, so that rounding never adds up; a
 * variance is never negative.
 */
export class LastDay {
  readonly #loads: Float32Array
  #next = 0
  #count = 0
  #sum = 0
  #squares = 0

  constructor(day: number) {
    this.#loads = new Float32Array(day)
  }

  take(load: number): void {
    const value = Math.fround(load)
    const leaving = this.#loads[this.#next] ?? 0
    this.#loads[this.#next] = value
    this.#sum += value - leaving
    this.#squares += value * value - leaving * leaving
    this.#count = Math.min(this.#loads.length, this.#count + 1)
    this.#next = (this.#next + 1) % this.#loads.length
    if (this.#next === 0) this.#sumAnew()
  }

  get mean(): number {
    return this.#count === 0 ? 0 : Math.max(0, this.#sum / this.#count)
  }

  get variance(): number {
    const { mean } = this
    return this.#count === 0 ? 0 : Math.max(0, this.#squares / this.#count - mean * mean)
  }

  #sumAnew(): void {
    this.#sum = 0
    this.#squares = 0
    for (const load of this.#loads) {
      this.#sum += load
      this.#squares += load * load
    }
  }
}
