/**
 * Whose request the store gets next: deficit round robin (Shreedhar and Varghese, 1995) over the
 * open connections, of which a volume has one. A turn may spend a quantum of blocks, so a volume
 * with large or many requests delays another by at most one turn of each.
 *
 * Invariants: requests and bytes in flight stay below their bounds (one request is always let
 * through); a runnable connection stands in the ring exactly once; requests of a connection begin
 * in the order in which they came.
 */
import { assert } from '../../protocols/assert.ts'
import type { Request } from '../../protocols/shard-io/messages.ts'
import { ROUND_QUANTUM, SHARD_IN_FLIGHT_BYTES, SHARD_IN_FLIGHT_REQUESTS } from '../limits.ts'
import type { Connection } from './connection.ts'
import { bytesOf, costOf } from './connection.ts'

export class Scheduler {
  readonly #dispatch: (connection: Connection, request: Request, arrivedAtMs: number) => void
  #ring: Connection[] = []
  #inFlightRequests = 0
  #inFlightBytes = 0
  #isPumping = false
  /** The connection at the head of the ring has had the quantum of its turn. */
  #isTurnBegun = false

  constructor(dispatch: (connection: Connection, request: Request, arrivedAtMs: number) => void) {
    this.#dispatch = dispatch
  }

  get inFlightRequests(): number {
    return this.#inFlightRequests
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes
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
      connection.deficit -= cost
      const arrivedAtMs = connection.headArrivedAtMs()
      this.#dispatch(connection, connection.dequeue(), arrivedAtMs)
    }
    this.#ring.shift()
    this.#isTurnBegun = false
    connection.isInRing = connection.isRunnable
    if (connection.isInRing) this.#ring.push(connection)
    else connection.deficit = 0
    return true
  }

  #hasRoom(bytes: number): boolean {
    if (this.#inFlightRequests === 0) return true
    return (
      this.#inFlightRequests < SHARD_IN_FLIGHT_REQUESTS &&
      this.#inFlightBytes + bytes <= SHARD_IN_FLIGHT_BYTES
    )
  }
}
