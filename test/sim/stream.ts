/**
 * A stream between two simulated processes: two pipes that behave like TCP. Bytes arrive in order,
 * late, in pieces, or wait while their direction is stalled; a reset arrives behind them. What one
 * side wrote before it gave the stream up may so still arrive long after.
 *
 *   end A --pipe: segments under way--> inbox of B --> listener
 */
import type { ByteStream } from '../../node/ports.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { SimProcess } from './process.ts'
import type { SimRandom } from './random.ts'
import type { Timeline } from './timeline.ts'

const HIGH_MARK_BYTES = 1024 * 1024
const SPLIT_CHANCE = 0.08
const RETRY_MS = 3_000

/** What a direction of a link does to what is sent over it. */
export interface Wire {
  readonly isStalled: () => boolean
  readonly latencyMs: () => number
  /** Called once when the direction flows again. */
  readonly onFlow: (task: () => void) => void
}

export interface StreamPlace {
  readonly timeline: Timeline
  readonly random: SimRandom
  readonly closed: (end: SimStream) => void
}

type Item = Uint8Array | 'end' | 'reset'
/** What was sent in one event leaves, and arrives, as one. */
type Segment = Item[]

export class SimStream implements ByteStream {
  readonly peer: NodeId
  readonly process: SimProcess
  readonly #place: StreamPlace
  readonly #wire: Wire
  #remote: SimStream | undefined
  /** Under way from here to the remote. */
  readonly #sent: Segment[] = []
  /** The newest of them, and the event in which it was sent. */
  #newest: Segment = []
  #newestEvent = -1
  #sentBytes = 0
  #lastArrivalMs = 0
  #laggingUntilMs = 0
  #isWaitingForFlow = false
  #inbox: Uint8Array[] = []
  #inboxBytes = 0
  #isPaused = false
  #hasEnded = false
  #hasRemoteEnded = false
  #isEndTold = false
  #isClosed = false
  #error: Error | undefined
  #bytesListener: ((bytes: Uint8Array) => void) | undefined
  #endListener: (() => void) | undefined
  #closeListener: ((error?: Error) => void) | undefined
  #waiters: Array<{ resolve: () => void; reject: (error: Error) => void }> = []

  constructor(peer: NodeId, process: SimProcess, wire: Wire, place: StreamPlace) {
    this.peer = peer
    this.process = process
    this.#wire = wire
    this.#place = place
  }

  connect(remote: SimStream): void {
    this.#remote = remote
  }

  write(bytes: Uint8Array): boolean {
    if (this.#isClosed || this.#hasEnded || !this.process.isAlive) return true
    // What has left belongs to the network: a sender that reuses its buffer must not change it.
    this.#send(Uint8Array.from(bytes))
    this.#sentBytes += bytes.length
    return !this.#isFull()
  }

  drained(): Promise<void> {
    if (this.#isClosed) return Promise.reject(this.#error ?? new Error('stream closed'))
    if (!this.#isFull()) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  onBytes(listener: (bytes: Uint8Array) => void): void {
    this.#bytesListener = listener
    this.#deliverSoon()
  }

  onEnd(listener: () => void): void {
    this.#endListener = listener
  }

  onClose(listener: (error?: Error) => void): void {
    this.#closeListener = listener
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#deliverSoon()
  }

  async end(): Promise<void> {
    if (this.#isClosed || this.#hasEnded || !this.process.isAlive) return
    this.#hasEnded = true
    this.#send('end')
    this.#maybeClose()
  }

  abort(reason: Error): void {
    if (this.#isClosed || !this.process.isAlive) return
    this.#close(reason)
    this.#send('reset')
  }

  /** The connection under it is gone, as this side finds out now. */
  break(why: string): void {
    this.#close(new Error(why))
  }

  /** What is under way from here arrives no sooner than that: it is being sent again. */
  lag(untilMs: number): void {
    this.#laggingUntilMs = untilMs
  }

  /** Its process died, and its kernel says so to the remote. */
  resetRemote(): void {
    this.#send('reset')
  }

  #isFull(): boolean {
    return this.#sentBytes + (this.#remote?.inboxBytes ?? 0) >= HIGH_MARK_BYTES
  }

  get isOpen(): boolean {
    return !this.#isClosed && !this.#hasEnded && this.process.isAlive
  }

  get inboxBytes(): number {
    return this.#inboxBytes
  }

  #send(item: Item): void {
    const { ran } = this.#place.timeline
    if (this.#newestEvent === ran && this.#sent.length > 0) {
      this.#newest.push(item)
      return
    }
    this.#newest = [item]
    this.#newestEvent = ran
    this.#sent.push(this.#newest)
    if (this.#wire.isStalled()) this.#waitForFlow()
    else if (!this.#isWaitingForFlow) this.#schedule()
  }

  #waitForFlow(): void {
    if (this.#isWaitingForFlow) return
    this.#isWaitingForFlow = true
    // A connection that stood still is retried now and then only; a new one may overtake it.
    this.#wire.onFlow(() => {
      const { random, timeline } = this.#place
      const retryMs = random.chance(0.5) ? 0 : random.between(0, RETRY_MS)
      timeline.after(retryMs, () => {
        this.#isWaitingForFlow = false
        if (this.#wire.isStalled()) this.#waitForFlow()
        else for (let left = this.#sent.length - this.#scheduled; left > 0; left--) this.#schedule()
      })
    })
  }

  #scheduled = 0

  /** One more segment arrives, never before the one in front of it. */
  #schedule(): void {
    const { timeline } = this.#place
    this.#scheduled++
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, timeline.nowMs + this.#wire.latencyMs())
    timeline.after(this.#lastArrivalMs - timeline.nowMs, () => {
      const lagMs = this.#laggingUntilMs - timeline.nowMs
      if (lagMs > 0) timeline.after(lagMs, () => this.#arrive())
      else this.#arrive()
    })
  }

  #arrive(): void {
    this.#scheduled--
    const segment = this.#sent.shift()
    if (segment === undefined) return
    for (const item of segment) if (typeof item !== 'string') this.#sentBytes -= item.length
    this.#remote?.process.enter(() => {
      for (const item of segment) this.#remote?.arrived(item)
    })
    this.#wake()
  }

  arrived(item: Item): void {
    if (this.#isClosed) return
    if (item === 'reset') {
      this.#close(new Error('stream reset'))
    } else if (item === 'end') {
      this.#hasRemoteEnded = true
      this.#deliver()
    } else {
      this.#take(item)
      this.#deliver()
    }
  }

  #take(bytes: Uint8Array): void {
    const { random } = this.#place
    this.#inboxBytes += bytes.length
    if (bytes.length < 2 || !random.chance(SPLIT_CHANCE)) {
      this.#inbox.push(bytes)
      return
    }
    const cut = 1 + random.below(bytes.length - 1)
    this.#inbox.push(bytes.subarray(0, cut), bytes.subarray(cut))
  }

  #deliverSoon(): void {
    if (this.#inbox.length === 0 && !this.#hasRemoteEnded) return
    this.#place.timeline.after(0, () => this.process.enter(() => this.#deliver()))
  }

  #deliver(): void {
    while (!this.#isPaused && !this.#isClosed && this.#bytesListener !== undefined) {
      const bytes = this.#inbox.shift()
      if (bytes === undefined) break
      this.#inboxBytes -= bytes.length
      this.#bytesListener(bytes)
      this.#remote?.process.enter(() => this.#remote?.wakeWriters())
    }
    if (!this.#hasRemoteEnded || this.#inbox.length > 0 || this.#isClosed) return
    if (this.#isEndTold) return
    this.#isEndTold = true
    this.#endListener?.()
    this.#maybeClose()
  }

  wakeWriters(): void {
    this.#wake()
  }

  #wake(): void {
    if (this.#waiters.length === 0 || this.#isFull() || !this.process.isAlive) return
    const waiters = this.#waiters
    this.#waiters = []
    this.process.enter(() => {
      for (const waiter of waiters) waiter.resolve()
    })
  }

  #maybeClose(): void {
    if (this.#hasEnded && this.#isEndTold) this.#close(undefined)
  }

  #close(error: Error | undefined): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#error = error
    this.#inbox = []
    this.#inboxBytes = 0
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.reject(error ?? new Error('stream closed'))
    this.#place.closed(this)
    this.#place.timeline.after(0, () => this.process.enter(() => this.#closeListener?.(error)))
  }
}
