/**
 * One stream of shard-io (or a local connection) as the shard server sees it: whose it is, what it
 * has asked and not been given to the store, and how its sender is slowed down.
 *
 *   new --hello--> waiting --welcome--> open --retired: stale--> stale
 *     \______________\___________________\_______________________/--> closed
 *
 * Invariants: only requests of an open connection reach the store; a connection whose answers are
 * not taken neither reads nor starts anything more; what is queued at the close is discarded.
 */
import { assert } from '../../protocols/assert.ts'
import type { NodeId, Token } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { Answer, Request } from '../../protocols/shard-io/messages.ts'
import { Op } from '../../protocols/shard-io/messages.ts'
import { MAX_REQUEST_COST, REQUEST_COST, STREAM_QUEUE_REQUESTS } from '../limits.ts'
import type { ShardVolume } from './volume.ts'

/** Where answers go. A ByteStream in production, a function call on the gateway's own node. */
export interface Sink {
  /** False: nothing more until `drained`. */
  answer: (answer: Answer) => boolean
  drained: () => Promise<void>
  /** Stops and restarts the arrival of requests. */
  pause: () => void
  resume: () => void
  abort: (reason: Error) => void
}

/** What all connections share. */
export interface ConnectionContext {
  /** Bytes of data that one connection may have queued; less the more of them there are. */
  readonly queueBytes: () => number
  /** The connection's answers are taken again. */
  readonly drained: (connection: Connection) => void
}

export type ConnectionState = 'new' | 'waiting' | 'open' | 'stale' | 'closed'

export class Connection {
  /** Never used twice. */
  readonly number: number
  readonly peer: NodeId
  readonly sink: Sink
  at: ConnectionState = 'new'
  volume: ShardVolume | undefined
  token: Token | undefined
  session = 0
  /** Monotonic ms of the last arrival; requests of one read share it. */
  arrivedAtMs = 0
  /** Round robin: the cost that this connection may still spend in its turn. */
  deficit = 0
  /** It stands in the scheduler's ring. */
  isInRing = false
  #queue: Request[] = []
  /** When each of the queue arrived. */
  #arrivals: number[] = []
  #next = 0
  #queuedBytes = 0
  #isBlocked = false
  #isPaused = false
  readonly #context: ConnectionContext

  constructor(number: number, peer: NodeId, sink: Sink, context: ConnectionContext) {
    this.number = number
    this.peer = peer
    this.sink = sink
    this.#context = context
  }

  get queued(): number {
    return this.#queue.length - this.#next
  }

  /** Something could be given to the store. */
  get isRunnable(): boolean {
    return this.at === 'open' && !this.#isBlocked && this.queued > 0
  }

  /** Several times beyond the marks at which the sender was asked to wait. */
  isFarBeyond(factor: number): boolean {
    return (
      this.queued >= STREAM_QUEUE_REQUESTS * factor ||
      this.#queuedBytes >= this.#context.queueBytes() * factor
    )
  }

  enqueue(request: Request): void {
    assert(this.at === 'waiting' || this.at === 'open', 'only a greeted connection has a queue')
    this.#queue.push(request)
    this.#arrivals.push(this.arrivedAtMs)
    this.#queuedBytes += bytesOf(request)
    this.#balance()
  }

  head(): Request | undefined {
    return this.#queue[this.#next]
  }

  /** When the head of the queue arrived. */
  headArrivedAtMs(): number {
    return this.#arrivals[this.#next] ?? this.arrivedAtMs
  }

  dequeue(): Request {
    const request = this.#queue[this.#next]
    assert(request !== undefined, 'only a queued request is taken')
    this.#next += 1
    this.#queuedBytes -= bytesOf(request)
    if (this.#next === this.#queue.length) {
      this.#queue.length = 0
      this.#arrivals.length = 0
      this.#next = 0
    } else if (this.#next >= STREAM_QUEUE_REQUESTS) {
      this.#queue = this.#queue.slice(this.#next)
      this.#arrivals = this.#arrivals.slice(this.#next)
      this.#next = 0
    }
    this.#balance()
    return request
  }

  /** Empties the queue; what was in it never begins. */
  discardQueue(): Request[] {
    const discarded = this.#queue.slice(this.#next)
    this.#queue = []
    this.#arrivals = []
    this.#next = 0
    this.#queuedBytes = 0
    this.#balance()
    return discarded
  }

  answer(answer: Answer): void {
    if (this.at === 'closed') return
    if (this.sink.answer(answer) || this.#isBlocked) return
    this.#isBlocked = true
    this.#balance()
    this.sink.drained().then(
      () => {
        this.#isBlocked = false
        this.#balance()
        this.#context.drained(this)
      },
      () => {
        // The close of the stream is told on its own.
      }
    )
  }

  /** Pauses above the high mark or while answers are not taken; resumes below half of it. */
  #balance(): void {
    if (this.at === 'closed') return
    if (!this.#isPaused) {
      if (!this.#isBlocked && !this.isFarBeyond(1)) return
      this.#isPaused = true
      this.sink.pause()
    } else if (!this.#isBlocked && !this.isFarBeyond(0.5)) {
      this.#isPaused = false
      this.sink.resume()
    }
  }
}

/** Bytes of data that the request brings or asks for; what the store must hold meanwhile. */
export function bytesOf(request: Request): number {
  return request.op === Op.read || request.op === Op.write ? request.lengthBytes : 0
}

/** In units of one block: a constant for the work of any request, and its length, capped. */
export function costOf(request: Request): number {
  return REQUEST_COST + Math.min(request.lengthBytes / BLOCK_BYTES, MAX_REQUEST_COST)
}
