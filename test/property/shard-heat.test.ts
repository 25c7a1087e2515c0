// Goal: the parts of all chunks of a shard never exceed the whole, so that no history is carried
// twice, whatever was asked, taken and given when.
// Method: random loads, hours, moves and gaps on two shards of one meter and one of another node.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chunkNumber } from '../../node/shard/chunk-number.ts'
import { HeatMeter } from '../../node/shard/heat.ts'
import { HOURS_PER_DAY, MiB } from '../../protocols/limits.ts'
import { heatStateSchema } from '../../protocols/load/heat.ts'
import { seedOfRun } from '../support/process-random.ts'
import { volumeId } from '../support/shard-harness.ts'

const seed = seedOfRun()
const CHUNKS = 6
const at = (extent: number) => ({
  volume: volumeId(1),
  extent,
  generation: 1,
  column: 0,
  replica: 0
})

const extents = fc.integer({ min: 0, max: CHUNKS - 1 })
const sides = fc.constantFrom(0, 1, 2)
const steps = fc.oneof(
  { weight: 4, arbitrary: fc.record({ ask: extents, side: sides, times: fc.nat(50) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      hours: fc.integer({ min: 1, max: 30 }),
      asks: fc.array(fc.tuple(extents, sides, fc.integer({ min: 1, max: 20 })), { maxLength: 5 })
    })
  },
  { weight: 2, arbitrary: fc.record({ move: extents, from: sides, to: sides }) },
  { weight: 1, arbitrary: fc.record({ jumpMinutes: fc.integer({ min: -3000, max: 3000 }) }) },
  { weight: 1, arbitrary: fc.record({ gapMs: fc.nat(10_000_000) }) }
)

describe('the parts of the chunks of a shard', () => {
  it('are each between nothing and all, and sum to no more than all', () => {
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 40 }), sequence => {
        const here = new HeatMeter(0)
        const there = new HeatMeter(0)
        const shards = [here, here, there].map(meter => ({ meter, map: meter.add() }))
        let nowMs = 0
        let minute = 0
        for (const step of sequence) {
          if ('ask' in step) {
            const shard = shards[step.side]
            for (let i = 0; i < step.times; i++) {
              const number = chunkNumber(at(step.ask))
              shard?.meter.touch(shard.map, number, i % 3 === 0, 4096 * i, nowMs)
            }
          } else if ('hours' in step) {
            for (let i = 0; i < 60 * step.hours; i++) {
              for (const [extent, side, times] of step.asks) {
                const shard = shards[side]
                shard?.meter.touch(shard.map, chunkNumber(at(extent)), true, times * MiB, nowMs)
              }
              nowMs += 60_000
              for (const meter of [here, there]) meter.minute(minute, nowMs)
              minute += 1
            }
          } else if ('move' in step) {
            const [source, target] = [shards[step.from], shards[step.to]]
            const state = source?.meter.take(source.map, at(step.move), nowMs)
            if (state === undefined) continue
            target?.meter.give(target.map, at(step.move), heatStateSchema.parse(state), nowMs)
          } else if ('gapMs' in step) nowMs += step.gapMs
          else minute += step.jumpMinutes
        }
        for (const { meter, map } of shards) {
          const shares = Array.from({ length: CHUNKS }, (_, i) => meter.shareOf(map, at(i), nowMs))
          const columns = [
            shares.map(share => share.now),
            ...Array.from({ length: HOURS_PER_DAY }, (_, hour) =>
              shares.map(share => share.byHour?.[hour] ?? 0)
            )
          ]
          for (const parts of columns) {
            for (const part of parts) expect(part >= 0 && part <= 1).toBe(true)
            expect(parts.reduce((sum, part) => sum + part, 0)).toBeLessThan(1 + 1e-9)
          }
        }
      }),
      { seed, numRuns: 50 }
    )
  })
})
