// Goal: a volume of which nobody takes something is left alone for a while, and then offered by halves
// if it was too much; once somebody took of it, and after a while, all is as before.
// Method: a clock that the test turns.
import { expect, test } from 'vitest'
import { Refused } from '../../node/balance/refused.ts'
import { TurnedClock } from '../support/load-clock.ts'
import { volumeId } from '../support/shard-harness.ts'

const V = volumeId(1)
const HOUR_MS = 3_600_000

test('is left alone for longer each time, and offered by halves as long as it is too much', async () => {
  const clock = new TurnedClock(0)
  const refused = new Refused(clock, { fraction: () => 0.5 })
  expect([refused.leftMs, refused.volumes.size, refused.mostChunks.size]).toEqual([undefined, 0, 0])
  refused.add(V, true, 5)
  const firstMs = refused.leftMs ?? 0
  expect([firstMs > 0, refused.volumes.has(V), refused.mostChunks.get(V)]).toEqual([true, true, 2])
  await clock.turn(firstMs)
  expect([refused.volumes.has(V), refused.mostChunks.get(V)]).toEqual([false, 2])
  refused.add(V, true)
  expect(refused.leftMs).toBeGreaterThan(firstMs)
  expect(refused.mostChunks.get(V)).toBe(2)
  for (const chunks of [2, 1]) {
    refused.add(V, true, chunks)
    expect(refused.mostChunks.get(V)).toBe(1)
  }
  await clock.turn((refused.leftMs ?? 0) + HOUR_MS + 1)
  expect(refused.mostChunks.size).toBe(0)
})

test('is as any other once somebody took of it', () => {
  const refused = new Refused(new TurnedClock(0), { fraction: () => 0.5 })
  refused.add(V, true, 5)
  refused.taken(V)
  expect([refused.leftMs, refused.volumes.size, refused.mostChunks.size]).toEqual([undefined, 0, 0])
})
