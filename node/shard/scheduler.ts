/**
 * Whose request the store gets next: deficit round robin (Shreedhar and Varghese, 1995) over the
 * open connections, of which a volume has one. A turn may spend a quantum of blocks, so a volume
 * with large or many requests delays another by at most one turn of each.
 *
 * A limit on the node's load (`--max-load`) holds whole turns up: whoever was next stays next.
 * Copying for handoffs does not come by here: it has its own bound and yields to clients, and a node
 * that is given too much must be able to get rid of it.
 *
 * Invariants: requests and bytes in flight stay below their bounds (one request is always let
 * through); a runnable connection stands in the ring exactly once; requests of a connection begin
 * in the order in which they came.
 */
import { assert } from '../../protocols/assert.ts'
import { BYTES_PER_UNIT } from '../../protocols/load/record.ts'
import type { Request } from '../../protocols/shard-io/messages.ts'
import { TokenBucket } from '../../protocols/token-bucket.ts'
import {
  MAX_LOAD_BURST_MS,
  ROUND_QUANTUM,
  SHARD_IN_FLIGHT_BYTES,
  SHARD_IN_FLIGHT_REQUESTS
} from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'
import type { Connection } from './connection.ts'
import { bytesOf, costOf } from './connection.ts'
import { isMetered } from './meter.ts'

/** `heldUntilMs`: when the limit let it through; its arrival if that did not hold it up. */
export type Dispatch = (
  connection: Connection,
  request: Request,
  arrivedAtMs: number,
  heldUntilMs: number
) => void

export class Scheduler {
  readonly #clock: Clock
  readonly #dispatch: Dispatch
  #ring: Connection[] = []
  #inFlightRequests = 0
  #inFlightBytes = 0
  #isPumping = false
  /** The connection at the head of the ring has had the quantum of its turn. */
  #isTurnBegun = false

  #bucket: TokenBucket | undefined
  /** When the limit last held something up. */
  #heldAtMs = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined

  constructor(clock: Clock, dispatch: Dispatch) {
    this.#clock = clock
    this.#dispatch = dispatch
  }

  get inFlightRequests(): number {
    return this.#inFlightRequests
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes
  }

  /** Units per second; undefined: no limit. From now on. */
  limit(unitsPerSecond: number | undefined): void {
    const nowMs = this.#clock.monotonicMs()
    if (unitsPerSecond === undefined) this.#bucket = undefined
    else if (this.#bucket === undefined) {
      this.#bucket = new TokenBucket(unitsPerSecond, MAX_LOAD_BURST_MS, nowMs)
    } else this.#bucket.setRate(unitsPerSecond, nowMs)
    this.#timer?.cancel()
    this.#timer = undefined
    this.pump()
  }

  began(bytes: number): void {
    this.#inFlightRequests += 1
    this.#inFlightBytes += bytes
  }

  settled(bytes: number): void {
    assert(this.#inFlightRequests > 0, 'what settles had begun')
    this.#inFlightRequests -= 1
    this.#inFlightBytes -= bytes
  }

  /** Puts the connection in the ring if it has something to give, and gives what there is room for. */
  offer(connection: Connection): void {
    if (!connection.isInRing && connection.isRunnable) {
      connection.isInRing = true
      this.#ring.push(connection)
    }
    this.pump()
  }

  pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    try {
      while (this.#takeTurn()) {
        // Each turn is given its share; the last one found no room or nothing to do.
      }
    } finally {
      this.#isPumping = false
    }
  }

  /** False once the ring is empty or the store has its fill. */
  #takeTurn(): boolean {
    const connection = this.#ring[0]
    if (connection === undefined) return false
    if (!this.#isTurnBegun) {
      connection.deficit += ROUND_QUANTUM
      this.#isTurnBegun = true
    }
    while (connection.isRunnable) {
      const request = connection.head()
      assert(request !== undefined, 'a runnable connection has a head')
      const cost = costOf(request)
      if (cost > connection.deficit) break
      if (!this.#hasRoom(bytesOf(request))) return false
      const arrivedAtMs = connection.headArrivedAtMs()
      const heldUntilMs =
        this.#bucket === undefined ? arrivedAtMs : this.#pass(this.#bucket, request, arrivedAtMs)
      if (heldUntilMs === undefined) return false
      connection.deficit -= cost
      this.#dispatch(connection, connection.dequeue(), arrivedAtMs, heldUntilMs)
    }
    this.#ring.shift()
    this.#isTurnBegun = false
    connection.isInRing = connection.isRunnable
    if (connection.isInRing) this.#ring.push(connection)
    else connection.deficit = 0
    return true
  }

  /** Undefined: not yet; the next turn comes by itself. */
  #pass(bucket: TokenBucket, request: Request, arrivedAtMs: number): number | undefined {
    const units = unitsOf(request)
    const nowMs = this.#clock.monotonicMs()
    if (units > 0 && !bucket.take(units, nowMs)) {
      this.#heldAtMs = nowMs
      this.#timer ??= this.#clock.after(bucket.waitMs(units, nowMs), () => {
        this.#timer = undefined
        this.pump()
      })
      return undefined
    }
    return arrivedAtMs <= this.#heldAtMs ? nowMs : arrivedAtMs
  }

  #hasRoom(bytes: number): boolean {
    if (this.#inFlightRequests === 0) return true
    return (
      this.#inFlightRequests < SHARD_IN_FLIGHT_REQUESTS &&
      this.#inFlightBytes + bytes <= SHARD_IN_FLIGHT_BYTES
    )
  }
}

/** As the meter counts it (`loadOf`): flushes, questions and signs of life are no load. */
function unitsOf(request: Request): number {
  if (!isMetered(request.op) || request.lengthBytes === 0) return 0
  return 1 + bytesOf(request) / BYTES_PER_UNIT
}
