/** Tasks that take turns: at most `running` at a time, at most `waiting` more in order of arrival. */
import { assert } from '../../protocols/assert.ts'

export class Turns {
  readonly #mayRun: number
  readonly #mayWait: number
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor(running: number, waiting: number) {
    this.#mayRun = running
    this.#mayWait = waiting
  }

  get isIdle(): boolean {
    return this.#running === 0
  }

  /** Undefined, at once, if too many wait already. */
  async take<T>(task: () => Promise<T>): Promise<T | undefined> {
    if (this.#running >= this.#mayRun) {
      if (this.#waiting.length >= this.#mayWait) return undefined
      // Whoever ends passes its place on, so nobody who comes later gets in between.
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    } else this.#running += 1
    assert(this.#running <= this.#mayRun, 'no more tasks run than may')
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
