// Goal: no byte of a volume has two places, no place holds two bytes, and no range loses a byte.
// Method: random shapes (odd columns, columns that do not divide the units, tiny and huge volumes).
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BLOCK_BYTES,
  KiB,
  MAX_VOLUME_BYTES,
  MIN_EXTENT_BYTES,
  MiB
} from '../../protocols/limits.ts'
import {
  columnBytes,
  columnRanges,
  extentCount,
  locate,
  type StripeShape,
  shapeProblem,
  split,
  volumeOffset
} from '../../protocols/stripe/map.ts'

const shapes: fc.Arbitrary<StripeShape> = fc
  .record({
    unitBlocks: fc.integer({ min: 1, max: 64 }),
    units: fc.integer({ min: 1, max: 300 }),
    columns: fc.integer({ min: 1, max: 37 })
  })
  .map(({ unitBlocks, units, columns }) => {
    const stripeUnitBytes = unitBlocks * BLOCK_BYTES
    const least = Math.ceil(MIN_EXTENT_BYTES / stripeUnitBytes)
    return { stripeUnitBytes, columns, extentBytes: Math.max(least, units) * stripeUnitBytes }
  })

const ranges = fc
  .record({
    shape: shapes,
    blocks: fc.integer({ min: 1, max: 5_000 }),
    from: fc.nat(),
    length: fc.nat()
  })
  .map(({ shape, blocks, from, length }) => {
    const sizeBytes = blocks * BLOCK_BYTES
    const offset = from % sizeBytes
    return { shape, sizeBytes, offset, length: length % (sizeBytes - offset + 1) }
  })

describe('the stripe map', () => {
  it('finds every byte again from the place it named', () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 0, max: MAX_VOLUME_BYTES - 1 }), (shape, offset) => {
        expect(shapeProblem(shape)).toBeUndefined()
        const { extent, column, chunkOffset } = locate(shape, offset)
        expect(chunkOffset).toBeLessThan(columnBytes(shape, column))
        expect(volumeOffset(shape, extent, column, chunkOffset)).toBe(offset)
      })
    )
  })

  it('gives every place on every column of an extent to exactly one byte of it', () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 0, max: 1000 }), (shape, extent) => {
        const units = new Set<number>()
        for (let column = 0; column < shape.columns; column++) {
          for (let at = 0; at < columnBytes(shape, column); at += shape.stripeUnitBytes) {
            const offset = volumeOffset(shape, extent, column, at)
            expect(locate(shape, offset)).toEqual({ extent, column, chunkOffset: at })
            units.add(offset)
          }
        }
        expect(units.size).toBe(shape.extentBytes / shape.stripeUnitBytes)
      })
    )
  })

  it('splits a range into adjoining pieces that cover it exactly', () => {
    fc.assert(
      fc.property(ranges, ({ shape, sizeBytes, offset, length }) => {
        let at = offset
        for (const piece of split(shape, sizeBytes, offset, length)) {
          expect(piece.volumeOffset).toBe(at)
          expect(piece.length).toBeGreaterThan(0)
          expect(piece.chunkOffset + piece.length).toBeLessThanOrEqual(
            columnBytes(shape, piece.column)
          )
          const { extent, column, chunkOffset } = piece
          expect(locate(shape, at)).toEqual({ extent, column, chunkOffset })
          const last = piece.length - 1
          expect(volumeOffset(shape, extent, column, chunkOffset + last)).toBe(at + last)
          at += piece.length
        }
        expect(at).toBe(offset + length)
      })
    )
  })

  it('covers of each chunk exactly what the pieces cover of it, in one stretch', () => {
    fc.assert(
      fc.property(ranges, ({ shape, sizeBytes, offset, length }) => {
        const expected = new Map<string, { from: number; to: number; length: number }>()
        for (const piece of split(shape, sizeBytes, offset, length)) {
          const key = `${piece.extent}.${piece.column}`
          const old = expected.get(key) ?? { from: piece.chunkOffset, to: 0, length: 0 }
          const to = piece.chunkOffset + piece.length
          expected.set(key, { from: old.from, to, length: old.length + piece.length })
        }
        const found = columnRanges(shape, sizeBytes, offset, length)
        expect(found.length).toBe(expected.size)
        for (const range of found) {
          const want = expected.get(`${range.extent}.${range.column}`)
          expect(want).toEqual({
            from: range.chunkOffset,
            to: range.chunkOffset + range.length,
            length: range.length
          })
        }
      })
    )
  })

  it('keeps a range of a one-column volume in one piece per extent', () => {
    const shape = { extentBytes: 2 * MiB, stripeUnitBytes: 64 * KiB, columns: 1 }
    expect(split(shape, 8 * MiB, MiB, 2 * MiB).map(piece => piece.length)).toEqual([MiB, MiB])
    expect(extentCount(shape, 8 * MiB + BLOCK_BYTES)).toBe(5)
  })

  it('refuses shapes that are none', () => {
    const shape = { extentBytes: 2 * MiB, stripeUnitBytes: 64 * KiB, columns: 3 }
    expect(shapeProblem(shape)).toBeUndefined()
    expect(shapeProblem({ ...shape, columns: 0 })).toContain('columns')
    expect(shapeProblem({ ...shape, stripeUnitBytes: 6000 })).toContain('stripe unit')
    expect(shapeProblem({ ...shape, stripeUnitBytes: 96 * KiB })).toContain('whole number')
    expect(shapeProblem({ ...shape, extentBytes: 64 * KiB })).toContain('extent')
  })
})
