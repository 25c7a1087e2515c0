/**
 * shard-io by function calls, for the gateway of this node: what a stream does, without frames.
 * Requests of a tick are received together in a microtask, so no answer arrives inside `send`.
 */
import type { NodeId } from '../../protocols/ids.ts'
import type { Answer, Request } from '../../protocols/shard-io/messages.ts'
import { Op } from '../../protocols/shard-io/messages.ts'
import { LOCAL_BUSY_RETRY_MS, LOCAL_QUEUE_FACTOR } from '../limits.ts'
import { busyAnswer } from './answers.ts'
import type { Connection, Sink } from './connection.ts'
import type { Reception } from './reception.ts'
import type { Scheduler } from './scheduler.ts'
import type { LocalConnection } from './types.ts'

export function connectLocal(
  self: NodeId,
  reception: Reception,
  scheduler: Scheduler
): LocalConnection {
  return new Local(self, reception, scheduler)
}

class Local implements LocalConnection, Sink {
  readonly #reception: Reception
  readonly #scheduler: Scheduler
  readonly #connection: Connection
  #inbox: Request[] = []
  #isPaused = false
  #isClosed = false
  #answerListener: ((answer: Answer) => void) | undefined
  #closeListener: ((reason?: Error) => void) | undefined

  constructor(self: NodeId, reception: Reception, scheduler: Scheduler) {
    this.#reception = reception
    this.#scheduler = scheduler
    this.#connection = reception.connect(self, this)
  }

  send(request: Request): boolean {
    if (this.#isClosed) return true
    this.#inbox.push(request)
    if (this.#inbox.length === 1) {
      queueMicrotask(() => this.#reception.guard(this.#connection, () => this.#deliver()))
    }
    return !this.#isPaused
  }

  onAnswer(listener: (answer: Answer) => void): void {
    this.#answerListener = listener
  }

  onClose(listener: (reason?: Error) => void): void {
    this.#closeListener = listener
  }

  close(): void {
    if (this.#isClosed) return
    this.#reception.closed(this.#connection)
    this.#end(undefined)
  }

  answer(answer: Answer): boolean {
    if (!this.#isClosed) this.#answerListener?.(answer)
    return true
  }

  drained(): Promise<void> {
    return Promise.resolve()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
  }

  abort(reason: Error): void {
    this.#end(reason)
  }

  #deliver(): void {
    const requests = this.#inbox
    this.#inbox = []
    this.#reception.arrived(this.#connection)
    for (const request of requests) {
      if (request.op !== Op.hello && this.#connection.isFarBeyond(LOCAL_QUEUE_FACTOR)) {
        this.answer(busyAnswer(request, LOCAL_BUSY_RETRY_MS))
      } else this.#reception.receive(this.#connection, request)
    }
    this.#reception.heard(this.#connection)
    this.#scheduler.offer(this.#connection)
  }

  #end(reason: Error | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#inbox = []
    // As with a stream, the close is told after the work of the tick.
    queueMicrotask(() => this.#closeListener?.(reason))
  }
}
