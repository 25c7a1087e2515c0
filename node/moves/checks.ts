/** What is known of a move at a look: whether it may begin, can ever be done, and who wanted it. */
import type { MeshView } from '../../crdt/types.ts'
import type { MoveReason } from '../../protocols/balance/types.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import { MAX_MOVE_RANGES, MAX_OPEN_RANGES } from '../../protocols/moves/limits.ts'
import { nodeName } from '../volumes/shards.ts'
import type { SavedMove } from './open-move.ts'
import type { MoveQueue } from './queue.ts'
import type { ChunkRange } from './ranges.ts'

/** Throws LIMIT. */
export function checkBounds(
  queue: Pick<MoveQueue, 'isFull' | 'rangeCount'>,
  ranges: readonly ChunkRange[]
): void {
  const isMany = ranges.length > MAX_MOVE_RANGES
  if (!isMany && !queue.isFull && queue.rangeCount < MAX_OPEN_RANGES) return
  throw new ShoalError(
    { code: 'LIMIT', limit: isMany ? 'MAX_MOVE_RANGES' : 'MAX_OPEN_MOVES' },
    isMany
      ? 'these chunks are too scattered for one move: move them in parts, with --extents'
      : 'this node has as many moves as it may: wait for some, or cancel them'
  )
}

/** Why a move can never be done, as far as the map knows. */
export function hopeless(mesh: MeshView, { volume, to }: SavedMove): string | undefined {
  if (mesh.tombstones.has(volume)) return 'the volume was deleted'
  const isGone = mesh.revocations.has(to) || mesh.nodes.get(to)?.leftAt !== undefined
  return isGone ? `node ${nodeName(mesh, to)} is no member any more` : undefined
}

export function notWritten(error: unknown): ShoalError {
  return new ShoalError(
    { code: 'IO_ERROR' },
    `the move could not be written down (${messageOf(error)}); nothing is moved`,
    { cause: error }
  )
}

export function isOrdered({ reason }: SavedMove): boolean {
  return reason !== undefined
}

export function reasonOf({ reason, isDrain }: Pick<SavedMove, 'reason' | 'isDrain'>): MoveReason {
  return reason ?? (isDrain ? 'drain' : 'asked')
}
