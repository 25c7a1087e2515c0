/** The chunks of a move that the node has settled with a target by itself. */
import { ShoalError } from '../../protocols/fault.ts'
import { volumeName } from '../volumes/names.ts'
import { isHeld } from './held.ts'
import { type ChunkRange, overlap, rangesOfChunks } from './ranges.ts'
import type { MoveOrder, MovesParts } from './types.ts'

/** `busy`: chunks that open moves have. Throws NOT_FOUND or CONFLICT: all of them, or none. */
export function orderedChunks(
  { map, store }: Pick<MovesParts, 'map' | 'store'>,
  busy: readonly ChunkRange[],
  { volume, chunks }: MoveOrder
): ChunkRange[] {
  const name = volumeName(map.mesh(), volume)
  const isHere = chunks.every(chunk => chunk.volume === volume && isHeld(store, chunk))
  if (!isHere || chunks.length === 0) {
    throw new ShoalError(
      { code: 'NOT_FOUND', what: name },
      `chunks of volume ${name} are not held here any more`
    )
  }
  const ranges = rangesOfChunks(chunks)
  if (!overlap(ranges, busy)) return ranges
  throw new ShoalError(
    { code: 'CONFLICT', what: name },
    `chunks of volume ${name} are being moved already`
  )
}
