// Goal: a replay leaves a shard, whatever part of its changes it forgot, as if it had forgotten none,
// and never puts older content in place of newer.
// Method: random changes on a model of a chunk; the replay plan is applied in any order.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Replayable, replayPlan } from '../../node/gateway/replay.ts'
import { ReplayBuffer } from '../../node/gateway/replay-buffer.ts'
import { blockChecksums, firstBadBlock } from '../../protocols/checksum.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { NO_TOKEN } from '../../protocols/ids.ts'
import { IntervalSet } from '../../protocols/interval-set.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { Op } from '../../protocols/shard-io/messages.ts'

const BLOCKS = 24

interface Sketch {
  from: number
  blocks: number
  isTrim: boolean
}

const sketches = fc.array(
  fc.record({
    from: fc.nat(BLOCKS - 1),
    blocks: fc.integer({ min: 1, max: 8 }),
    isTrim: fc.boolean()
  }),
  { maxLength: 30 }
)

function changeOf(
  { from, blocks, isTrim }: Sketch,
  number: number
): Replayable & { costBytes: number } {
  const lengthBytes = Math.min(blocks, BLOCKS - from) * BLOCK_BYTES
  const data = isTrim ? new Uint8Array(0) : new Uint8Array(lengthBytes)
  for (let at = 0; at < data.length; at += BLOCK_BYTES) data[at] = number + 1
  return {
    op: isTrim ? Op.trim : Op.write,
    flags: 0,
    chunk: { volume: '' as VolumeId, extent: 0, generation: 0, column: 0, replica: 0 },
    epoch: { token: NO_TOKEN, counter: 0 },
    from: from * BLOCK_BYTES,
    offsetBytes: from * BLOCK_BYTES,
    lengthBytes,
    crcs: blockChecksums(data),
    data,
    costBytes: lengthBytes
  }
}

/** The first byte of each block. */
function apply(image: number[], change: Replayable): void {
  expect(firstBadBlock(change.data, change.crcs)).toBe(-1)
  for (let at = 0; at < change.lengthBytes; at += BLOCK_BYTES) {
    image[(change.offsetBytes + at) / BLOCK_BYTES] = change.data[at] ?? 0
  }
}

describe('replay', () => {
  it('restores the newest content of every block, each block once, in any order', () => {
    fc.assert(
      fc.property(sketches, fc.nat(), fc.array(fc.nat()), (list, forgotten, picks) => {
        const changes = list.map(changeOf)
        const expected = new Array<number>(BLOCKS).fill(0)
        for (const change of changes) apply(expected, change)
        const image = new Array<number>(BLOCKS).fill(0)
        for (const change of changes.slice(0, forgotten % (changes.length + 1)))
          apply(image, change)
        const plan = replayPlan(changes)
        const trims = plan.filter(part => part.op === Op.trim)
        expect(plan.slice(0, trims.length)).toEqual(trims) // a full disk gets its room back first
        const touched = new Set<number>()
        for (const pick of [...picks, ...plan.map(() => 0)]) {
          const [part] = plan.splice(pick % Math.max(1, plan.length), 1)
          if (part === undefined) break
          for (let at = part.from; at < part.from + part.lengthBytes; at += BLOCK_BYTES) {
            expect(touched.has(at)).toBe(false)
            touched.add(at)
          }
          expect(part.from).toBe(part.offsetBytes)
          apply(image, part)
        }
        expect(image).toEqual(expected)
      })
    )
  })

  it('keeps what no successful flush covered, in order, and knows what it costs', () => {
    const acts = fc.array(
      fc.constantFrom('change', 'change', 'change', 'send', 'flushed', 'passed on')
    )
    fc.assert(
      fc.property(acts, list => {
        const buffer = new ReplayBuffer<{ costBytes: number; number: number }>()
        const kept: number[] = []
        let count = 0
        let flight: { mark: number; covers: number } | undefined
        for (const act of list) {
          if (act === 'change') {
            buffer.push({ number: ++count, costBytes: count })
            kept.push(count)
          } else if (act === 'passed on') {
            // Every third change was one of the chunk that passes on.
            const isOfChunk = (number: number): boolean => number % 3 === 0
            const gone = kept.filter(isOfChunk)
            const taken = buffer.take(({ number }) => isOfChunk(number))
            expect(taken.map(({ number }) => number)).toEqual(gone)
            kept.splice(0, kept.length, ...kept.filter(number => !isOfChunk(number)))
          } else if (act === 'send') {
            flight = { mark: buffer.mark, covers: count }
          } else if (flight !== undefined) {
            const { mark, covers } = flight
            flight = undefined
            const dropped = kept.splice(0, kept.filter(number => number <= covers).length)
            expect(buffer.dropUpTo(mark)).toBe(dropped.reduce((sum, cost) => sum + cost, 0))
          }
          expect(buffer.entries().map(entry => entry.number)).toEqual(kept)
          expect(buffer.costBytes).toBe(kept.reduce((sum, cost) => sum + cost, 0))
          expect(buffer.length).toBe(kept.length)
        }
      })
    )
  })

  it('counts a range as new exactly where it was not covered before', () => {
    const ranges = fc.array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 20 })))
    fc.assert(
      fc.property(ranges, list => {
        const set = new IntervalSet()
        const covered = new Set<number>()
        for (const [from, length] of list) {
          const fresh = new Set<number>()
          for (const [a, b] of set.add(from, from + length)) {
            for (let at = a; at < b; at++) fresh.add(at)
          }
          for (let at = from; at < from + length; at++) {
            expect(fresh.has(at)).toBe(!covered.has(at))
            covered.add(at)
          }
        }
      })
    )
  })
})
