/** What a drain's plan comes to as moves: one per volume and target. */
import { assert } from '../../protocols/assert.ts'
import type { DrainPlan } from '../../protocols/layout/drain.ts'
import { MAX_MOVE_RANGES } from '../../protocols/moves/limits.ts'
import type { SavedMove } from './open-move.ts'

export type DrainMove = Pick<SavedMove, 'volume' | 'to' | 'ranges' | 'totalBytes'>

export function movesOfPlan(plan: DrainPlan): DrainMove[] {
  const byVolumeAndTarget = new Map<string, Array<DrainPlan['assignments'][number]>>()
  for (const assignment of plan.assignments) {
    const key = `${assignment.piece.volume} ${assignment.to}`
    byVolumeAndTarget.set(key, [...(byVolumeAndTarget.get(key) ?? []), assignment])
  }
  return [...byVolumeAndTarget.values()].map(assignments => {
    const [first] = assignments
    assert(first !== undefined, 'a group has a member')
    const pieces = assignments.slice(0, MAX_MOVE_RANGES).map(({ piece }) => piece)
    return {
      volume: first.piece.volume,
      to: first.to,
      ranges: pieces.map(({ volume: _v, bytes: _b, ...range }) => range),
      totalBytes: pieces.reduce((sum, piece) => sum + piece.bytes, 0)
    }
  })
}
