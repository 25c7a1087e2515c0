/**
 * The stripe map: where the bytes of a volume lie. Pure arithmetic, a bijection between volume
 * offsets and (extent, column, offset in the chunk).
 *
 *   volume   | extent 0                        | extent 1 ...
 *   units    | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7   |            (3 columns)
 *   column 0 | 0       | 3       | 6           |  chunk (extent 0, column 0): units 0 3 6
 *   column 1 |     1       | 4       | 7       |  chunk (extent 0, column 1): units 1 4 7
 *   column 2 |         2       | 5             |  chunk (extent 0, column 2): units 2 5
 *
 * Invariants: an extent is a whole number of stripe units and every unit a whole number of blocks;
 * columns need not divide the units of an extent (the first columns are then one unit longer);
 * the pieces of a range are in volume order, adjoin, and cover it exactly.
 */
import { assert } from '../assert.ts'
import type { VolumeSpec } from '../ids.ts'
import {
  BLOCK_BYTES,
  MAX_COLUMNS,
  MAX_EXTENT_BYTES,
  MAX_VOLUME_BYTES,
  MIN_EXTENT_BYTES,
  MIN_STRIPE_UNIT_BYTES
} from '../limits.ts'

/** The three numbers of a spec that the arithmetic needs. */
export type StripeShape = Pick<VolumeSpec, 'extentBytes' | 'stripeUnitBytes' | 'columns'>

/** A byte of a volume as its chunk knows it. */
export interface Place {
  readonly extent: number
  readonly column: number
  readonly chunkOffset: number
}

/** A part of a range that is contiguous in the volume and on one chunk. Bytes. */
export interface Piece extends Place {
  readonly volumeOffset: number
  readonly length: number
}

/** Why these numbers are no stripe shape, or undefined if they are one. */
export function shapeProblem(shape: StripeShape): string | undefined {
  const { extentBytes, stripeUnitBytes, columns } = shape
  if (!Number.isInteger(columns) || columns < 1 || columns > MAX_COLUMNS) {
    return `columns must be 1 to ${MAX_COLUMNS}`
  }
  if (!Number.isInteger(stripeUnitBytes / BLOCK_BYTES) || stripeUnitBytes < MIN_STRIPE_UNIT_BYTES) {
    return `the stripe unit must be a multiple of ${BLOCK_BYTES} bytes`
  }
  if (extentBytes < MIN_EXTENT_BYTES || extentBytes > MAX_EXTENT_BYTES) {
    return `an extent must be ${MIN_EXTENT_BYTES} to ${MAX_EXTENT_BYTES} bytes`
  }
  if (!Number.isInteger(extentBytes / stripeUnitBytes)) {
    return 'an extent must be a whole number of stripe units'
  }
  return undefined
}

/** Extents of a volume; the last may lie partly beyond its size. */
export function extentCount(shape: StripeShape, sizeBytes: number): number {
  return Math.ceil(sizeBytes / shape.extentBytes)
}

/** Length of the chunk of `column` in a whole extent; 0 if there are fewer units than columns. */
export function columnBytes(shape: StripeShape, column: number): number {
  assert(column >= 0 && column < shape.columns, 'a column is inside the layout')
  const units = shape.extentBytes / shape.stripeUnitBytes
  return Math.ceil(Math.max(0, units - column) / shape.columns) * shape.stripeUnitBytes
}

/** Where the byte at `volumeOffset` lies. */
export function locate(shape: StripeShape, volumeOffset: number): Place {
  const { extentBytes, stripeUnitBytes, columns } = shape
  assert(volumeOffset >= 0 && volumeOffset < MAX_VOLUME_BYTES, 'an offset is inside a volume')
  const extent = Math.floor(volumeOffset / extentBytes)
  const inExtent = volumeOffset - extent * extentBytes
  const unit = Math.floor(inExtent / stripeUnitBytes)
  const row = Math.floor(unit / columns)
  return {
    extent,
    column: unit - row * columns,
    chunkOffset: row * stripeUnitBytes + (inExtent - unit * stripeUnitBytes)
  }
}

/** The inverse of `locate`. */
export function volumeOffset(
  shape: StripeShape,
  extent: number,
  column: number,
  chunkOffset: number
): number {
  const { extentBytes, stripeUnitBytes, columns } = shape
  assert(chunkOffset >= 0 && chunkOffset < columnBytes(shape, column), 'a place is on its chunk')
  const row = Math.floor(chunkOffset / stripeUnitBytes)
  const unit = row * columns + column
  return extent * extentBytes + unit * stripeUnitBytes + (chunkOffset - row * stripeUnitBytes)
}

/** The pieces of [offset, offset + length), in volume order; empty for an empty range. */
export function split(
  shape: StripeShape,
  sizeBytes: number,
  offset: number,
  length: number
): Piece[] {
  assert(offset >= 0 && length >= 0 && offset + length <= sizeBytes, 'a range is inside the volume')
  const pieces: Piece[] = []
  const end = offset + length
  let at = offset
  while (at < end) {
    const place = locate(shape, at)
    const stop = Math.min(end, endOfPiece(shape, at))
    pieces.push({
      extent: place.extent,
      column: place.column,
      chunkOffset: place.chunkOffset,
      volumeOffset: at,
      length: stop - at
    })
    at = stop
  }
  return pieces
}

/** The part of a column that a range covers: one contiguous range of one chunk. Bytes. */
export interface ColumnRange extends Place {
  readonly length: number
}

/** What [offset, offset + length) covers of each chunk; extents in order, then columns. */
export function columnRanges(
  shape: StripeShape,
  sizeBytes: number,
  offset: number,
  length: number
): ColumnRange[] {
  assert(offset >= 0 && length >= 0 && offset + length <= sizeBytes, 'a range is inside the volume')
  const { extentBytes, columns } = shape
  const ranges: ColumnRange[] = []
  const end = offset + length
  for (let at = offset; at < end; ) {
    const extent = Math.floor(at / extentBytes)
    const stop = Math.min(end, (extent + 1) * extentBytes)
    for (let column = 0; column < columns; column++) {
      const chunkOffset = columnBytesBefore(shape, column, at - extent * extentBytes)
      const chunkEnd = columnBytesBefore(shape, column, stop - extent * extentBytes)
      if (chunkEnd > chunkOffset) {
        ranges.push({ extent, column, chunkOffset, length: chunkEnd - chunkOffset })
      }
    }
    at = stop
  }
  return ranges
}

/** Bytes of the first `inExtent` bytes of an extent that lie on `column`. */
function columnBytesBefore(shape: StripeShape, column: number, inExtent: number): number {
  const { stripeUnitBytes, columns } = shape
  const unit = Math.floor(inExtent / stripeUnitBytes)
  const row = Math.floor(unit / columns)
  const current = unit - row * columns
  const before = row * stripeUnitBytes
  if (column > current) return before
  if (column < current) return before + stripeUnitBytes
  return before + (inExtent - unit * stripeUnitBytes)
}

/** First volume offset after `at` that is not next to it on the same chunk. */
function endOfPiece(shape: StripeShape, at: number): number {
  const bytes = shape.columns === 1 ? shape.extentBytes : shape.stripeUnitBytes
  // Units never cross extents, so counting units from 0 of the volume is the same.
  return (Math.floor(at / bytes) + 1) * bytes
}
