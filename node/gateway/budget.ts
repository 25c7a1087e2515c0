/**
 * The bound on what an attachment keeps for replay and has in flight. A change takes its cost
 * before it is sent; a flush gives it back. When nothing is left, changes wait in order of arrival.
 *
 * Invariants: what is taken never exceeds the limit, but for one change that alone is larger; a
 * change is sent only after its cost was taken, and its cost is given back once.
 */
import { assert } from '../../protocols/assert.ts'
import type { Change } from './change.ts'
import { Queue } from './queue.ts'

export interface BudgetDriver {
  /** The change may be sent. */
  admitted: (change: Change) => void
  /** More than half is taken: time to flush. */
  isHigh: () => void
}

export class Budget {
  readonly #limitBytes: number
  readonly #driver: BudgetDriver
  readonly #waiting = new Queue<Change>()
  #takenBytes = 0

  constructor(limitBytes: number, driver: BudgetDriver) {
    this.#limitBytes = limitBytes
    this.#driver = driver
  }

  get isHigh(): boolean {
    return this.#takenBytes * 2 > this.#limitBytes || this.#waiting.length > 0
  }

  admit(change: Change): void {
    if (this.#waiting.length === 0 && this.#fits(change)) this.#take(change)
    else this.#waiting.push(change)
    if (this.isHigh) this.#driver.isHigh()
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes
    assert(this.#takenBytes >= 0, 'no cost is given back twice')
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      if (!this.#fits(next)) break
      this.#waiting.take()
      this.#take(next)
    }
  }

  /** Takes changes out of the queue, never to be admitted. */
  extract(test: (change: Change) => boolean): Change[] {
    return this.#waiting.extract(test)
  }

  #fits(change: Change): boolean {
    return this.#takenBytes === 0 || this.#takenBytes + change.costBytes <= this.#limitBytes
  }

  #take(change: Change): void {
    assert(!change.isAdmitted, 'a change is admitted once')
    change.isAdmitted = true
    this.#takenBytes += change.costBytes
    this.#driver.admitted(change)
  }
}
