/**
 * A set of numbers as disjoint intervals [from, to), in order; those that touch are one.
 */
export class IntervalSet {
  /** from, to, from, to ... ascending. */
  #bounds: number[] = []

  /** Adds [from, to) and returns the parts of it that were not in the set. */
  add(from: number, to: number): Array<[number, number]> {
    const fresh: Array<[number, number]> = []
    const first = this.#firstEndingAtOrAfter(from)
    let at = from
    let start = from
    let end = to
    let index = first
    for (; index < this.#bounds.length; index += 2) {
      const low = this.#bounds[index] as number
      const high = this.#bounds[index + 1] as number
      if (low > to) break
      if (low > at) fresh.push([at, low])
      at = Math.max(at, high)
      start = Math.min(start, low)
      end = Math.max(end, high)
    }
    if (at < to) fresh.push([at, to])
    this.#bounds.splice(first, index - first, start, end)
    return fresh
  }

  /** Index of the first interval that ends at or after `value`. */
  #firstEndingAtOrAfter(value: number): number {
    let low = 0
    let high = this.#bounds.length / 2
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#bounds[middle * 2 + 1] as number) < value) low = middle + 1
      else high = middle
    }
    return low * 2
  }
}
