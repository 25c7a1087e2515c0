/** One call of a user of the device: settled when all its requests are. */
import { assert } from '../../protocols/assert.ts'

/** Told of every job that ends, in whatever way. */
export interface JobOwner {
  jobEnded: () => void
}

/** A change, made of one or more changes of chunks. The first error is the answer. */
export class ChangeJob {
  readonly #owner: JobOwner
  readonly #resolve: () => void
  readonly #reject: (error: Error) => void
  #left = 0
  #isComplete = false
  #error: Error | undefined

  constructor(owner: JobOwner, resolve: () => void, reject: (error: Error) => void) {
    this.#owner = owner
    this.#resolve = resolve
    this.#reject = reject
  }

  add(): void {
    this.#left++
  }

  /** No more parts are added. */
  complete(): void {
    this.#isComplete = true
    if (this.#left === 0) this.#end()
  }

  partEnded(error: Error | undefined): void {
    assert(this.#left > 0, 'each part of a job ends once')
    this.#left--
    if (error !== undefined && this.#error === undefined) this.#error = error
    if (this.#left === 0 && this.#isComplete) this.#end()
  }

  #end(): void {
    this.#owner.jobEnded()
    if (this.#error === undefined) this.#resolve()
    else this.#reject(this.#error)
  }
}

/** A question with one result per part (reads, block status). Fails with the first error. */
export class QueryJob<T> {
  readonly #owner: JobOwner
  readonly #done: (results: readonly T[]) => void
  readonly #reject: (error: Error) => void
  readonly #results: T[]
  #left: number
  #isOver = false

  constructor(
    owner: JobOwner,
    parts: number,
    done: (results: readonly T[]) => void,
    reject: (error: Error) => void
  ) {
    assert(parts > 0, 'a question has parts')
    this.#owner = owner
    this.#results = new Array(parts)
    this.#left = parts
    this.#done = done
    this.#reject = reject
  }

  partDone(index: number, result: T): void {
    if (this.#isOver) return
    this.#results[index] = result
    this.#left--
    if (this.#left > 0) return
    this.#isOver = true
    this.#owner.jobEnded()
    this.#done(this.#results)
  }

  partFailed(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#owner.jobEnded()
    this.#reject(error)
  }
}
