// Goal: the bitmap of changed blocks gives every marked block exactly once, in runs inside the
// bound, and in a pass no block twice.
// Method: random marks and takes, compared with a set of block numbers.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DirtyBlocks } from '../../protocols/handoff/dirty-blocks.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)

const step = fc.oneof(
  fc.record({ do: fc.constant('mark' as const), at: fc.nat(299), length: fc.nat(90) }),
  fc.record({ do: fc.constant('take' as const), at: fc.nat(299), length: fc.nat(70) }),
  fc.record({ do: fc.constant('all' as const), at: fc.constant(0), length: fc.constant(0) })
)

function numbers(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first + index)
}

describe(`changed blocks (SEED=${SEED})`, () => {
  it('are what a set of their numbers holds', () => {
    const program = fc.array(step, { maxLength: 60 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), program, (blocks, steps) => {
        const dirty = new DirtyBlocks(blocks)
        const model = new Set<number>()
        for (const { do: what, at, length } of steps) {
          if (what === 'mark') {
            const first = at % blocks
            const count = Math.min(length, blocks - first)
            dirty.mark(first, count)
            for (const block of numbers(first, count)) model.add(block)
          } else if (what === 'all') {
            dirty.markAll()
            for (const block of numbers(0, blocks)) model.add(block)
          } else {
            const from = at % blocks
            const taken = dirty.take(from, length + 1)
            const left = [...model].filter(block => block >= from)
            expect(taken?.first).toBe(left.length === 0 ? undefined : Math.min(...left))
            if (taken === undefined) continue
            expect(taken.count).toBeGreaterThan(0)
            expect(taken.count).toBeLessThanOrEqual(length + 1)
            // A run ends where the marks end, at the bound, or at the end of the chunk.
            const after = taken.first + taken.count
            if (taken.count <= length && after < blocks) expect(model.has(after)).toBe(false)
            for (const block of numbers(taken.first, taken.count)) {
              expect(model.delete(block)).toBe(true)
            }
          }
          expect(dirty.count).toBe(model.size)
        }
        expect(numbers(0, blocks).filter(block => dirty.has(block)).length).toBe(model.size)
      }),
      { seed: SEED, numRuns: 500 }
    )
  })

  it('are taken once in a pass, although one is marked again after each take', () => {
    const dirty = new DirtyBlocks(4096)
    dirty.markAll()
    const seen: number[] = []
    let from = 0
    for (let run = dirty.take(from, 64); run !== undefined; run = dirty.take(from, 64)) {
      seen.push(...numbers(run.first, run.count))
      from = run.first + run.count
      dirty.mark(0, 1)
    }
    expect(seen).toEqual(numbers(0, 4096))
  })

  it('tell once that nobody reads them any more, and refuse what lies outside', () => {
    let closed = 0
    const dirty = new DirtyBlocks(33, () => {
      closed += 1
    })
    dirty.close()
    dirty.close()
    expect(closed).toBe(1)
    expect(() => dirty.mark(32, 2)).toThrow('broken invariant')
    expect(() => dirty.mark(-1, 1)).toThrow('broken invariant')
    expect(dirty.take(0, 1)).toBeUndefined()
  })
})
