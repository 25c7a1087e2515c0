// Goal: what was measured in a second reaches the keeper's thread as it was.
// Method: ticks at random, packed, cloned as between threads, and unpacked.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { packed, unpacked } from '../../node/load/tick-codec.ts'

const number = fc.double({ min: 0, max: 1e13, noNaN: true })
const record = fc.record({
  reads: number,
  writes: number,
  readBytes: number,
  writtenBytes: number,
  sequential: number,
  queue: number,
  p50Us: number,
  p99Us: number
})
const key = fc.oneof(fc.constant('node'), fc.stringMatching(/^[0-9a-f]{32}$/))
const records = fc.array(fc.record({ key, record }), { maxLength: 20 })
const minute = fc.record({ slot: fc.nat(), records })
const tick = fc
  .record({ second: fc.nat(), seconds: records, minute: fc.option(minute, { nil: undefined }) })
  .map(({ second, seconds, minute: told }) => {
    return { tell: 'tick' as const, second, seconds, ...(told && { minute: told }) }
  })

it('a tick is the same on the other side of the wire', () => {
  fc.assert(
    fc.property(tick, message => {
      expect(unpacked(structuredClone(packed(message)))).toEqual(message)
    })
  )
})

it('everything else goes as it is', () => {
  const gone = { tell: 'gone', key: 'node', forget: true } as const
  const asked = { id: 1, question: { ask: 'undelivered' } } as const
  for (const message of [gone, asked]) expect(unpacked(packed(message))).toBe(message)
})
