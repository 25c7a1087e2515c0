/**
 * Flushes of one link, grouped: those that arrive while one is on its way share the next.
 *
 *   caller 1 --> flush A (sent, mark 7)
 *   caller 2 --> needs entry 9 --> flush B, sent when A is answered; callers 3, 4 ... join B
 *
 * Invariants: a caller is answered only by a flush that was sent after all that it wants durable
 * was in the buffer; at most one flush is on its way; a failed flush drops nothing.
 */
import { assert } from '../../protocols/assert.ts'
import type { LinkContext } from './link-context.ts'
import { flushRequest } from './link-requests.ts'
import type { LinkRequest } from './request.ts'
import type { ShardLink } from './shard-link.ts'

interface Flight {
  readonly promise: Promise<void>
  readonly resolve: () => void
  /** Entries up to here were answered when it was last sent; undefined before that. */
  mark: number | undefined
}

export class Flusher {
  readonly #link: ShardLink
  readonly #context: LinkContext
  #current: Flight | undefined
  #next: Promise<void> | undefined
  #isOver = false

  constructor(link: ShardLink, context: LinkContext) {
    this.#link = link
    this.#context = context
  }

  get isFlushing(): boolean {
    return this.#current !== undefined
  }

  /** Makes durable what the shard has answered until now. */
  flush(): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    const current = this.#current
    if (current === undefined) return this.#begin()
    if (current.mark === undefined || current.mark >= this.#link.buffer.mark) return current.promise
    if (this.#next === undefined) {
      const begin = (): Promise<void> => {
        this.#next = undefined
        return this.flush()
      }
      this.#next = current.promise.then(begin, begin)
    }
    return this.#next
  }

  /** Nothing is kept for the shard any more: there is nothing left to make durable. */
  end(): void {
    assert(this.#link.buffer.length === 0, 'a flush that is given up covers nothing')
    this.#isOver = true
    this.#current?.resolve()
    this.#current = undefined
  }

  #begin(): Promise<void> {
    const request = flushRequest(this.#context, this.#context.clock.monotonicMs())
    let resolved = (): void => {}
    const promise = new Promise<void>((resolve, reject) => {
      resolved = resolve
      request.sending = () => {
        flight.mark = this.#link.buffer.mark
      }
      request.answered = () => {
        this.#current = undefined
        this.#context.freed(this.#link.buffer.dropUpTo(flight.mark ?? 0))
        resolve()
      }
      request.failed = error => {
        this.#current = undefined
        reject(error)
      }
    })
    const flight: Flight = { promise, resolve: resolved, mark: undefined }
    this.#current = flight
    this.#submit(request)
    return promise
  }

  #submit(request: LinkRequest): void {
    this.#link.submit(request)
  }
}
