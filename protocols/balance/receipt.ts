/**
 * The receipt of a move: why it was decided, among whom, at what cost; and afterwards what really
 * happened. Kept by source and target, each in its own file, never in a document of the map.
 *
 *   decided --> (award) --> moved | failed | called off --> judged, an hour after its end
 */
import type { NodeId, VolumeId } from '../ids.ts'
import type { BidFigures, Excess, MoveReason } from './types.ts'

/** Somebody who was considered. */
export interface Alternative {
  readonly node: NodeId
  /** chosen, outbid: it bid. The others did not, or were not asked. */
  readonly is: 'chosen' | 'outbid' | 'declined' | 'silent' | 'unfit'
  readonly why: string
  readonly bid?: BidFigures
  /** Less is better; the chosen one has the least. */
  readonly score?: number
}

export interface Receipt {
  /** The id of its move: 12 hex digits. */
  readonly id: string
  /** Whose words these are: the move's source keeps all of it, its target what it knows. */
  readonly keptBy: 'source' | 'target'
  readonly source: NodeId
  readonly target: NodeId
  readonly volume: VolumeId
  readonly chunks: number
  readonly bytes: number
  readonly reason: MoveReason
  /** In words, for moves that people asked for. */
  readonly why: string
  /** Wall ms of the node's load time. */
  readonly decidedAt: number
  readonly startedAt?: number
  readonly endedAt?: number
  readonly state: 'open' | 'done' | 'failed' | 'cancelled'
  readonly trouble?: string
  /** Absent for moves that people asked for. */
  readonly predicted?: Excess & {
    /** Peak of the high quantile of what moves. */
    readonly movedHighPeak: number
    readonly movedExpectedPeak: number
  }
  readonly alternatives: readonly Alternative[]
  readonly cost?: { readonly benefit: number; readonly cost: number; readonly copyMs: number }
  /** Of `chunks`, those that had moved at its end; absent: it has not ended. */
  readonly movedChunks?: number
  /** The longest pause that a client met at the cutover of one of its chunks. */
  readonly longestPauseMs?: number
  readonly outcome?: Outcome
  /** Why nobody can say what really happened; instead of an outcome. */
  readonly unjudged?: string
}

/** What really happened from the end of the move until an hour later. */
export interface Outcome {
  readonly judgedAt: number
  /** The source, with the moved load put back, would have exceeded its threshold. */
  readonly wasNeeded: boolean
  /** Peak at the source as it was, and with the moved load put back. */
  readonly sourcePeak: number
  readonly sourcePeakWithout: number
  readonly sourceThreshold: number
  readonly targetPeak: number
  readonly targetThreshold: number
  readonly targetStayedWell: boolean
  /**
   * Minutes above a threshold: those in which the source was not and would have been without the
   * move; and those in which source or target were in spite of it.
   */
  readonly avoidedMinutes: number
  readonly sufferedMinutes: number
  readonly longestPauseMs?: number
}
