/**
 * Rates of the last seconds from counters that only grow.
 *
 * Invariant: at most RATE_SAMPLES samples are kept; a shard that came or went counts from, or to,
 * the samples that have it.
 */
import type { VolumeId } from '../../protocols/ids.ts'
import { type Load, NO_LOAD } from '../../protocols/node-status/messages.ts'
import { RATE_INTERVAL_MS, RATE_SAMPLES } from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'
import type { ShardCounters } from './context.ts'

interface Sample {
  readonly atMs: number
  readonly counters: ReadonlyMap<VolumeId, ShardCounters>
}

export class RateMeter {
  readonly #clock: Clock
  readonly #read: () => readonly ShardCounters[]
  readonly #samples: Sample[] = []
  #timer: Timer | undefined

  constructor(clock: Clock, read: () => readonly ShardCounters[]) {
    this.#clock = clock
    this.#read = read
  }

  start(): void {
    this.#take()
    this.#timer = this.#clock.after(RATE_INTERVAL_MS, () => this.start())
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Per second, over the window that is kept. */
  load(volume: VolumeId): Load {
    const first = this.#samples.find(sample => sample.counters.has(volume))
    const last = this.#samples.at(-1)
    const from = first?.counters.get(volume)
    const to = last?.counters.get(volume)
    if (first === undefined || last === undefined || from === undefined || to === undefined) {
      return NO_LOAD
    }
    const seconds = (last.atMs - first.atMs) / 1000
    if (seconds <= 0) return NO_LOAD
    const rate = (a: number, b: number) => Math.max(0, Math.round((b - a) / seconds))
    return {
      readIops: rate(from.readOperations, to.readOperations),
      writeIops: rate(from.writeOperations, to.writeOperations),
      readBytesPerSecond: rate(from.readBytes, to.readBytes),
      writtenBytesPerSecond: rate(from.writtenBytes, to.writtenBytes)
    }
  }

  #take(): void {
    const counters = new Map(this.#read().map(shard => [shard.volume, shard]))
    this.#samples.push({ atMs: this.#clock.monotonicMs(), counters })
    if (this.#samples.length > RATE_SAMPLES) this.#samples.shift()
  }
}

export function addLoads(loads: Iterable<Load>): Load {
  let sum = NO_LOAD
  for (const load of loads) {
    sum = {
      readIops: sum.readIops + load.readIops,
      writeIops: sum.writeIops + load.writeIops,
      readBytesPerSecond: sum.readBytesPerSecond + load.readBytesPerSecond,
      writtenBytesPerSecond: sum.writtenBytesPerSecond + load.writtenBytesPerSecond
    }
  }
  return sum
}
