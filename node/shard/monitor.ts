/**
 * The load of every shard of this node and of the node as a whole, by the second and by the minute.
 * The shards count (meter.ts); here a driver asks once a second what it came to.
 *
 *   requests --> ShardMeter: this second --turn--> its record, and into this minute
 *                                                  --minute changes--> its record
 *
 * Invariants: rates are over the monotonic time that really passed, whatever the wall clock says,
 * and always finite; a shard that nobody asked costs nothing and has no record; a minute that the
 * wall clock enters twice is told twice, each time what was measured in it.
 */
import { assert } from '../../protocols/assert.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { LatencyHistogram, type SizeCounts } from '../../protocols/load/histogram.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'
import { MONITOR_TURN_MIN_MS } from '../limits.ts'
import type { HeatMap, HeatMeter } from './heat.ts'
import { Sums } from './load-sums.ts'
import { ShardMeter } from './meter.ts'

export interface ShardLoad {
  readonly volume: VolumeId
  readonly record: LoadRecord
}

/** Of one interval: the shards that were asked in it, and the node over all of them. */
export interface NodeLoad {
  readonly shards: readonly ShardLoad[]
  readonly node: LoadRecord
}

export interface MinuteLoad extends NodeLoad {
  /** Since 1970 by the wall clock of the turns. */
  readonly minute: number
  /** It stands for so many minutes, the last of which it is: 1 but by a faster load clock. */
  readonly minutes: number
  /** How much of it was measured: less after a start or a jump, more after a stall. */
  readonly lengthMs: number
}

export interface MonitorTick {
  /** Undefined if the last turn was only just now: this one's load comes with the next. */
  readonly second: NodeLoad | undefined
  /** The minute that is over, if the wall clock went on to another one. */
  readonly minute: MinuteLoad | undefined
}

/** Of one shard, since the start of the server. */
export interface ShardDetails {
  /** By the buckets of SIZE_BUCKETS (protocols/load/histogram.ts). */
  readonly sizes: SizeCounts
  readonly requests: number
  /** The part of them that went on where an earlier one of its chunk had ended. */
  readonly sequential: number
}

export interface LoadMonitor {
  /** Once a second: `second` (since 1970, by the wall clock) is over; with the `count` up to it. */
  turn: (second: number, count?: number) => MonitorTick
  details: (volume: VolumeId) => ShardDetails | undefined
}

export class Monitor implements LoadMonitor {
  readonly #heat: HeatMeter
  readonly #monotonicMs: () => number
  readonly #meters = new Map<VolumeId, ShardMeter>()
  readonly #second = new Sums()
  readonly #minute = new Sums()
  readonly #secondLatency = new LatencyHistogram()
  readonly #minuteLatency = new LatencyHistogram()
  #touched: ShardMeter[] = []
  #ofMinute: ShardMeter[] = []
  #minuteNumber: number | undefined
  /** What it stands for begins with this one. */
  #minuteFrom = 0
  #minuteMs = 0
  #turnedAtMs: number

  constructor(heat: HeatMeter, monotonicMs: () => number) {
    this.#heat = heat
    this.#monotonicMs = monotonicMs
    this.#turnedAtMs = monotonicMs()
  }

  /** `chunkBytes`: what no chunk of the volume exceeds. */
  add(volume: VolumeId, chunkBytes: number, map: HeatMap): ShardMeter {
    assert(!this.#meters.has(volume), 'a shard has one meter')
    const meter = new ShardMeter(volume, chunkBytes, { map, meter: this.#heat }, touched => {
      touched.isTouched = true
      this.#touched.push(touched)
    })
    this.#meters.set(volume, meter)
    return meter
  }

  /** The shard is gone: it has no record any more. */
  remove(volume: VolumeId): void {
    const meter = this.#meters.get(volume)
    if (meter !== undefined) meter.isGone = true
    this.#meters.delete(volume)
  }

  turn(second: number, count = 1): MonitorTick {
    const nowMs = this.#monotonicMs()
    const from = Math.floor((second - count + 1) / 60)
    const minute = this.#endMinute(from, Math.floor(second / 60), nowMs)
    const lengthMs = nowMs - this.#turnedAtMs
    if (lengthMs < MONITOR_TURN_MIN_MS) return { second: undefined, minute }
    const beforeMs = this.#turnedAtMs
    this.#turnedAtMs = nowMs
    this.#minuteMs += lengthMs
    const touched = this.#touched
    this.#touched = []
    const shards: ShardLoad[] = []
    for (const meter of touched) {
      meter.isTouched = false
      if (!meter.isGone) shards.push(this.#endSecond(meter, beforeMs, nowMs))
    }
    const node = this.#second.record(lengthMs, this.#secondLatency)
    this.#minute.add(this.#second)
    this.#minuteLatency.add(this.#secondLatency)
    this.#second.clear()
    this.#secondLatency.clear()
    return { second: { shards, node }, minute }
  }

  details(volume: VolumeId): ShardDetails | undefined {
    const meter = this.#meters.get(volume)
    if (meter === undefined) return undefined
    const all = new Sums()
    for (const sums of [meter.before, meter.minute, meter.second]) all.add(sums)
    const { requests } = all
    const sequential = requests === 0 ? 0 : all.sequential / requests
    return { sizes: meter.sizes.counts(), requests, sequential }
  }

  #endSecond(meter: ShardMeter, beforeMs: number, nowMs: number): ShardLoad {
    const { second, secondLatency } = meter
    const age = meter.ageMsSum(nowMs)
    second.addLatency(age - meter.ageMsBefore)
    meter.ageMsBefore = age
    const record = second.record(nowMs - beforeMs, secondLatency)
    this.#second.add(second)
    this.#secondLatency.add(secondLatency)
    meter.minute.add(second)
    meter.minuteLatency.add(secondLatency)
    second.clear()
    secondLatency.clear()
    if (!meter.isOfMinute) {
      meter.isOfMinute = true
      this.#ofMinute.push(meter)
    }
    // What is still here is seen in the next second as well, though nothing more may come.
    if (meter.inside > 0) {
      meter.isTouched = true
      this.#touched.push(meter)
    }
    return { volume: meter.volume, record }
  }

  /** `from` to `minute` begin, unless they are the present ones. */
  #endMinute(from: number, minute: number, nowMs: number): MinuteLoad | undefined {
    const over = this.#minuteNumber
    if (over === minute) return undefined
    const minutes = (over ?? 0) - this.#minuteFrom + 1
    this.#minuteNumber = minute
    this.#minuteFrom = over === undefined ? minute : Math.max(from, Math.min(minute, over + 1))
    const lengthMs = this.#minuteMs
    if (over === undefined || lengthMs <= 0) return undefined
    this.#minuteMs = 0
    this.#heat.minute(over, nowMs)
    const shards: ShardLoad[] = []
    for (const meter of this.#ofMinute) {
      meter.isOfMinute = false
      const record = meter.minute.record(lengthMs, meter.minuteLatency)
      if (!meter.isGone) shards.push({ volume: meter.volume, record })
      meter.before.add(meter.minute)
      meter.minute.clear()
      meter.minuteLatency.clear()
    }
    this.#ofMinute = []
    const node = this.#minute.record(lengthMs, this.#minuteLatency)
    this.#minute.clear()
    this.#minuteLatency.clear()
    return { minute: over, minutes, lengthMs, shards, node }
  }
}
