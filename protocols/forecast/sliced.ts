/**
 * Work that is done a bounded piece at a time, so that whoever does it can stop between any two.
 *
 * Invariant: the pieces and what comes of them do not depend on when they are done.
 */
export class Sliced<T> {
  readonly #work: Iterator<void, T>
  #result: { readonly value: T } | undefined

  constructor(work: Iterator<void, T>) {
    this.#work = work
  }

  get done(): boolean {
    return this.#result !== undefined
  }

  /** What came of it; undefined before it is done. */
  get finished(): T | undefined {
    return this.#result?.value
  }

  slice(): void {
    if (this.done) return
    const step = this.#work.next()
    if (step.done === true) this.#result = { value: step.value }
  }
}
