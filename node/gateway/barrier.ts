/**
 * Stands in the order of changes like one that covers a whole chunk: it starts when every older
 * change there has left, and the newer ones wait until it leaves itself.
 */
import { Ordered } from './order.ts'

export class Barrier extends Ordered {
  readonly #cleared: () => void

  /** `cleared` may be called as it enters the order. */
  constructor(range: { from: number; to: number }, cleared: () => void) {
    super(range.from, range.to)
    this.#cleared = cleared
  }

  start(): void {
    this.#cleared()
  }
}
