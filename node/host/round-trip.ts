/**
 * Measured round trips to connected members, and the patient judge of dead connections.
 *
 * Invariants: each connection has at most one ping under way; the figure of a peer is smoothed
 * (RFC 6298's 7/8 of the old and 1/8 of the new); only DEAD_AFTER_PINGS unanswered pings in a row
 * end a connection, counted, not timed, so that our own sleep (SIGSTOP, suspend) condemns nobody.
 */
import type { Connection } from '@libp2p/interface'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import {
  DEAD_AFTER_PINGS,
  PING_INTERVAL_MS,
  PING_TIMEOUT_MS,
  SUSPECT_TIMEOUT_MS
} from '../limits.ts'
import type { ByteStream, Clock, Log, Random, Timer } from '../ports.ts'
import { adaptStream } from '../stream/adapter.ts'

/** libp2p's ping protocol under our prefix: what is sent comes back. */
export const PING_PROTOCOL = '/shoal/ping/1.0.0'
const PING_BYTES = 32
const FIRST_PING_MS = 200

interface Watched {
  timer: Timer
  unanswered: number
}

export interface RoundTripsOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export class RoundTrips {
  readonly #options: RoundTripsOptions
  readonly #smoothedMs = new Map<NodeId, number>()
  readonly #watched = new Map<Connection, Watched>()

  constructor(options: RoundTripsOptions) {
    this.#options = options
  }

  smoothedMs(peer: NodeId): number | undefined {
    return this.#smoothedMs.get(peer)
  }

  watch(connection: Connection): void {
    const timer = this.#pingAfter(connection, FIRST_PING_MS)
    this.#watched.set(connection, { timer, unanswered: 0 })
  }

  unwatch(connection: Connection): void {
    this.#watched.get(connection)?.timer.cancel()
    this.#watched.delete(connection)
  }

  /**
   * A peer that dials anew while we hold an older connection may have lost that one with its host:
   * the older one must answer soon, or goes. If it was only slow, the newer one is there.
   */
  async suspect(connection: Connection): Promise<void> {
    try {
      await this.#measure(connection, SUSPECT_TIMEOUT_MS)
    } catch {
      connection.abort(new Error('a newer connection of this peer took its place'))
    }
  }

  forget(peer: NodeId): void {
    this.#smoothedMs.delete(peer)
  }

  stop(): void {
    for (const connection of [...this.#watched.keys()]) this.unwatch(connection)
  }

  #pingAfter(connection: Connection, meanMs: number): Timer {
    const delayMs = meanMs * (0.75 + this.#options.random.fraction() / 2)
    return this.#options.clock.after(delayMs, () => void this.#ping(connection))
  }

  async #ping(connection: Connection): Promise<void> {
    const watched = this.#watched.get(connection)
    if (watched === undefined) return
    try {
      this.#note(connection, await this.#measure(connection, PING_TIMEOUT_MS))
      watched.unanswered = 0
    } catch (error) {
      watched.unanswered++
      this.#judge(connection, watched.unanswered, error)
    }
    if (this.#watched.has(connection)) {
      watched.timer = this.#pingAfter(connection, PING_INTERVAL_MS)
    }
  }

  async #measure(connection: Connection, timeoutMs: number): Promise<number> {
    const { clock, random } = this.#options
    const late = new AbortController()
    const timer = clock.after(timeoutMs, () => late.abort(new Error('no answer to a ping')))
    try {
      const stream = await connection.newStream([PING_PROTOCOL], { signal: late.signal })
      const peer = connection.remotePeer.toString() as NodeId
      const startMs = clock.monotonicMs()
      await echo(adaptStream(stream, peer, clock), random.bytes(PING_BYTES), late.signal)
      return clock.monotonicMs() - startMs
    } finally {
      timer.cancel()
    }
  }

  #note(connection: Connection, sampleMs: number): void {
    const peer = connection.remotePeer.toString() as NodeId
    const before = this.#smoothedMs.get(peer)
    this.#smoothedMs.set(peer, before === undefined ? sampleMs : (7 * before + sampleMs) / 8)
  }

  #judge(connection: Connection, unanswered: number, error: unknown): void {
    if (unanswered < DEAD_AFTER_PINGS || connection.status !== 'open') return
    const peer = connection.remotePeer.toString()
    this.#options.log.warn({ peer, error: messageOf(error) }, 'a silent connection is given up')
    connection.abort(new Error(`${unanswered} pings were not answered`))
  }
}

/** Resolves once as many bytes came back as were sent. */
function echo(stream: ByteStream, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let missing = bytes.length
    const giveUp = (): void => stream.abort(signal.reason as Error)
    signal.addEventListener('abort', giveUp, { once: true })
    stream.onBytes(part => {
      missing -= part.length
      if (missing > 0) return
      resolve()
      stream.end().catch(reject)
    })
    stream.onClose(error => {
      signal.removeEventListener('abort', giveUp)
      reject(error ?? new Error('closed before the answer'))
    })
    stream.write(bytes)
  })
}
