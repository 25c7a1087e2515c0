/**
 * The limit on what a volume is asked (`--max-iops`), before anything enters the order of changes.
 * Each user of the device (an NBD connection, an import) has a lane of its own:
 *
 *   user 1 --lane--\
 *   user 2 --lane---> bucket --> device          without a limit: user --> device
 *
 * Invariants: requests of a lane begin in the order of its calls; of lanes that wait, the one that was
 * given least since it began to wait goes next; nothing begins beyond the limit, which is taken in
 * real time; what waits when its lane or the gate ends is refused, and was never begun.
 */
import { ShoalError } from '../../protocols/fault.ts'
import { KiB, MAX_IO_BYTES } from '../../protocols/limits.ts'
import { TokenBucket } from '../../protocols/token-bucket.ts'
import { IOPS_BURST_MS } from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'
import { Queue } from './queue.ts'

/** A read or write counts once for each so many bytes; a trim or zero, which carries none, by its shard requests. */
const BYTES_PER_COUNT = 256 * KiB

interface Waiting {
  readonly cost: number
  readonly begin: () => void
  readonly refuse: (error: Error) => void
}

export class Lane {
  readonly waiting = new Queue<Waiting>()
  /** What it was given, on the scale of all lanes that wait. */
  given = 0
}

export class IopsGate {
  readonly #clock: Clock
  readonly #lanes = new Set<Lane>()
  #bucket: TokenBucket | undefined
  #given = 0
  #timer: Timer | undefined
  #isStopped = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Nothing is bounded: users need not come by here. */
  get isOpen(): boolean {
    return this.#bucket === undefined
  }

  /** Requests that wait for their turn. */
  get waiting(): number {
    let count = 0
    for (const lane of this.#lanes) count += lane.waiting.length
    return count
  }

  /** From now on; undefined: no limit. */
  limit(maxIops: number | undefined): void {
    if (this.#bucket?.perSecond === maxIops) return
    const nowMs = this.#clock.monotonicMs()
    if (maxIops === undefined) this.#bucket = undefined
    else if (this.#bucket === undefined) {
      this.#bucket = new TokenBucket(maxIops, IOPS_BURST_MS, nowMs)
    } else this.#bucket.setRate(maxIops, nowMs)
    this.#pump()
  }

  run<T>(lane: Lane, cost: number, call: () => Promise<T>): Promise<T> {
    const isFree = this.#lanes.size === 0
    if (this.#isStopped || (isFree && this.#takes(cost))) return call()
    return new Promise((resolve, reject) => {
      const begin = () => void call().then(resolve, reject)
      if (!this.#lanes.has(lane)) {
        lane.given = this.#given
        this.#lanes.add(lane)
      }
      lane.waiting.push({ cost, begin, refuse: reject })
      this.#wait()
    })
  }

  /** Its user is gone. */
  leave(lane: Lane): void {
    this.#refuse(lane, new ShoalError({ code: 'CLOSED' }, 'whoever asked is gone'))
    this.#pump()
  }

  /** The device takes nothing more, and refuses what comes by itself. */
  stop(error: Error): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#timer = undefined
    for (const lane of [...this.#lanes]) this.#refuse(lane, error)
  }

  /** The device goes on after all. */
  resume(): void {
    this.#isStopped = false
  }

  #refuse(lane: Lane, error: Error): void {
    this.#lanes.delete(lane)
    for (let next = lane.waiting.take(); next !== undefined; next = lane.waiting.take()) {
      next.refuse(error)
    }
  }

  #pump(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    for (let lane = this.#next(); lane !== undefined; lane = this.#next()) {
      const cost = lane.waiting.peek()?.cost ?? 0
      if (!this.#takes(cost)) break
      this.#given = lane.given
      lane.given += cost
      const { begin } = lane.waiting.take() ?? {}
      if (lane.waiting.length === 0) this.#lanes.delete(lane)
      begin?.()
    }
    this.#wait()
  }

  #wait(): void {
    const cost = this.#next()?.waiting.peek()?.cost
    if (cost === undefined || this.#bucket === undefined || this.#timer !== undefined) return
    const delayMs = this.#bucket.waitMs(cost, this.#clock.monotonicMs())
    this.#timer = this.#clock.after(delayMs, () => this.#pump())
  }

  #takes(cost: number): boolean {
    return this.#bucket?.take(cost, this.#clock.monotonicMs()) ?? true
  }

  #next(): Lane | undefined {
    let next: Lane | undefined
    for (const lane of this.#lanes) if (next === undefined || lane.given < next.given) next = lane
    return next
  }
}

/** What a read or write of so many bytes counts. */
export function costOfBytes(lengthBytes: number): number {
  return Math.max(1, Math.ceil(lengthBytes / BYTES_PER_COUNT))
}

/** What a trim or zero counts: it is sent in pieces of so many bytes, without data. */
export function costOfRange(lengthBytes: number): number {
  return Math.max(1, Math.ceil(lengthBytes / MAX_IO_BYTES))
}
