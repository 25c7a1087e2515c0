/** What the monitor does, without anything around it: the least that it can cost. */
import { median } from 'simple-statistics'
import { HeatMeter } from '../../node/shard/heat.ts'
import { Monitor } from '../../node/shard/monitor.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { Request } from '../../protocols/shard-io/messages.ts'
import { request, volumeId } from '../support/shard-harness.ts'
import { EXTENT_BYTES } from './monitor-load.ts'
import { round } from './report.ts'

export const TURN_SHARDS = 1000
const TURN_MS = 1000
const COUNT_ROUNDS = 31
const VOLUME = volumeId(1)

/** What counting a request costs by itself, in nanoseconds of CPU: the least it can be. */
export function countingNs(requests: readonly Request[]): number {
  const heat = new HeatMeter(performance.now())
  const monitor = new Monitor(heat, () => performance.now())
  const meter = monitor.add(VOLUME, EXTENT_BYTES, heat.add())
  const rounds: number[] = []
  for (let i = 0; i < COUNT_ROUNDS; i++) {
    const arrivedAtMs = performance.now()
    const before = process.cpuUsage()
    for (const [at, asked] of requests.entries()) {
      meter.began(asked, arrivedAtMs)
      meter.answered(arrivedAtMs, arrivedAtMs + (at % 1000) / 500)
    }
    const { user, system } = process.cpuUsage(before)
    rounds.push(((user + system) * 1000) / requests.length)
    monitor.turn(i)
  }
  return round(median(rounds), 0)
}

/** One turn after a second in which every one of so many shards was asked, in milliseconds of CPU. */
export function turningMs(): number {
  const heat = new HeatMeter(performance.now())
  let nowMs = performance.now()
  const monitor = new Monitor(heat, () => nowMs)
  const shards = Array.from({ length: TURN_SHARDS }, (_, index) => {
    const id = volumeId(index + 1)
    const asked = request({ volume: id, lengthBytes: BLOCK_BYTES })
    return { asked, meter: monitor.add(id, EXTENT_BYTES, heat.add()) }
  })
  const turns: number[] = []
  for (let second = 1; second <= 60; second++) {
    for (const { asked, meter } of shards) {
      for (let i = 0; i < 10; i++) {
        meter.began(asked, nowMs)
        meter.answered(nowMs, nowMs + i)
      }
    }
    nowMs += TURN_MS
    const before = process.cpuUsage()
    monitor.turn(second)
    const { user, system } = process.cpuUsage(before)
    turns.push((user + system) / 1000)
  }
  return round(median(turns), 2)
}
