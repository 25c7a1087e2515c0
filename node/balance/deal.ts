/** One thing that leaves this node by its own decision: from the offer until its load is gone. */
import type { LoadPath, Used, Want } from '../../protocols/balance/types.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { Outcome } from '../../protocols/negotiate/messages.ts'
import type { ChunkRange } from '../moves/ranges.ts'
import type { Negotiation, Started } from './negotiation.ts'
import type { Ahead } from './outlooks.ts'
import type { UnderWay } from './types.ts'

export interface Deal {
  /** Of the move, too. */
  readonly id: string
  readonly volume: VolumeId
  readonly reason: Want['reason']
  readonly ranges: readonly ChunkRange[]
  readonly bytes: number
  readonly ahead: Ahead
  /** Wall ms of load time. */
  readonly since: number
  /** Monotonic ms of load time; absent after a restart. */
  readonly wantedMs?: number
  /** Absent after a restart: then it was awarded before. */
  readonly want?: Want
  negotiation: Negotiation | undefined
  at: UnderWay['at']
  to: NodeId | undefined
  started: Started | undefined
  outcome: Outcome | undefined
}

export function dealOf(want: Want, what: Pick<Deal, 'id' | 'ranges' | 'since' | 'wantedMs'>): Deal {
  const { volume, reason, bytes, path, day } = want
  return {
    ...{ ...what, volume, reason, bytes, want },
    ahead: { path, ...(day !== undefined && { day }) },
    negotiation: undefined,
    at: 'offering',
    to: undefined,
    started: undefined,
    outcome: undefined
  }
}

export function resumedDeal(order: {
  readonly id: string
  readonly volume: VolumeId
  readonly reason: Want['reason']
  readonly ranges: readonly ChunkRange[]
  readonly bytes: number
  readonly since: number
  readonly to: NodeId
  readonly path: LoadPath
}): Deal {
  const { id, volume, reason, ranges, bytes, since, to, path } = order
  return {
    ...{ id, volume, reason, ranges, bytes, since, to },
    ahead: { path },
    negotiation: undefined,
    at: 'moving',
    started: undefined,
    outcome: undefined
  }
}

/** Of one volume: what is offered and not yet awarded. */
export function offeredOf(views: readonly UnderWay[], volume: VolumeId): Used {
  const its = views.filter(view => view.at === 'offering' && view.volume === volume)
  return { moves: its.length, bytes: its.reduce((sum, { bytes }) => sum + bytes, 0) }
}

export function viewOf({ id, volume, reason, at, to, since, bytes }: Deal): UnderWay {
  return { id, volume, reason, at, since, bytes, ...(to !== undefined && { to }) }
}
